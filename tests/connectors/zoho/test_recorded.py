"""Zoho's recorded answers through the reading side, and the sandbox held beside them and the description."""

from __future__ import annotations

from tests.connectors.zoho import truth


def test_recorded_bodies_are_read_without_loss() -> None:
    replay = truth.replay()
    print(f"{replay.bodies} bodies")
    assert replay.lost == ()
    assert replay.bodies == len(truth.READERS)


def test_no_recorded_body_is_unread_without_a_reason() -> None:
    assert set(truth.READERS) | set(truth.unread()) == set(truth.bodies())
    assert not set(truth.READERS) & set(truth.unread())


def test_the_sandbox_answers_in_the_recorded_shape() -> None:
    found = {(file, difference) for file, some in truth.compared().items() for difference in some}
    print(f"{len(truth.READERS)} bodies, {len(found)} differences: {sorted(found)}")
    assert found == set(truth.EXPLAINED)


def test_the_sandbox_answers_as_described() -> None:
    answers = truth.answered()
    print(f"{len(answers.checked)} answers", answers.invalid)
    assert set(answers.invalid) == set(truth.UNLIKE)
    assert len(answers.checked) >= 15


def test_what_is_measured_is_what_stands() -> None:
    found = truth.measure()
    print(found)
    assert (found.unread, found.invalid) == (0, 0)
    assert found.differences == found.explained
    assert found.bodies
    assert found.operations
