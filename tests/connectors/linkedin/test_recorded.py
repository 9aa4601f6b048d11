"""LinkedIn's recorded answers, and the examples of its public collections, through the connector's reading side; the
sandbox held beside them."""

from __future__ import annotations

import pytest

from config.errors import Misconfigured
from connectors.linkedin.objects import localized
from tests.connectors.linkedin import truth


def test_recorded_and_shown_bodies_are_read_without_loss() -> None:
    lost = truth.replayed()
    print(f"{len(lost)} bodies")
    assert {name: some for name, some in lost.items() if some} == {}
    assert len(lost) == 11


def test_every_recorded_body_is_read_or_has_a_reason() -> None:
    assert set(truth.bodies()) - set(truth.UNUSED) == {"adAccounts", "delete-missing-adAccounts"}
    assert set(truth.UNUSED) <= set(truth.bodies())


def test_every_shown_form_has_readable_questions() -> None:
    """Four forms in three languages: predefined questions by their keys, choices by their labels."""
    choices = 0
    for form in truth.example("GetFormsForTheResponse200")["elements"]:
        for question in form["content"]["questions"]:
            assert localized(question["question"], form["creationLocale"])
            details = question["questionDetails"].get("multipleChoiceQuestionDetails") or {"options": []}
            assert all(localized(one["text"], form["creationLocale"]) for one in details["options"])
            choices += len(details["options"])
    assert choices == 6


@pytest.mark.parametrize("rule", ["10991460", "4886884", "999"])
def test_shown_rules_that_take_no_conversions_are_found(rule: str) -> None:
    with truth.world(conversion_rules=f"won={rule}") as (sandbox, made):
        truth.say(sandbox, "GET /rest/conversions", truth.example("FetchExistingConversionRulesResponse200"))
        with pytest.raises(Misconfigured, match="rule of won"):
            made.check()


def test_the_sandbox_answers_in_the_shape_that_was_recorded_or_shown() -> None:
    found = truth.compared()
    seen = {difference for some in found.values() for difference in some}
    print(f"{len(found)} bodies, {len(seen)} differences: {sorted(seen)}")
    assert {one for one in seen if not truth.explained(one)} == set()
    assert len(found) == 11
    for end in truth.EXPLAINED:
        assert any(one.endswith(end) for one in seen), end


def test_the_measure_counts_them() -> None:
    told = truth.measure()
    print(told)
    assert (told.unread, told.invalid) == (0, 0)
    assert told.differences == told.explained
    assert told.bodies == 11
    assert told.operations == 12
