"""Probable duplicates: listed with their evidence, linked or kept apart, for good."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from config.errors import Misconfigured
from sync import duplicates, forget
from sync.insight.explain import explain, find
from sync.state.schema import leads, strangers
from sync.unlink import unlink
from tests.engine.conftest import Loop


@pytest.fixture
def twins(loop: Loop) -> Loop:
    """One phone number, two addresses: Ana of alpha and Anna of beta; Bob is somebody else."""
    loop.alpha.put("contacts", {"email": "ana@x.io", "first": "Ana", "phone": "+4930123456"}, id="a1")
    loop.beta.put("contacts", {"email": "anna@y.io", "first": "Anna", "phone": "030 123456", "title": "Buyer"}, id="b1")
    loop.alpha.put("contacts", {"email": "bob@x.io", "first": "Bob"}, id="a2")
    loop.settled()
    return loop


def listed(loop: Loop) -> list[dict[str, Any]]:
    with loop.workspace.state.read() as tx:
        return duplicates.listed(tx)


def lead(loop: Loop, who: str) -> str:
    with loop.workspace.state.read() as tx:
        return find(tx, who) or ""


def test_a_pair_is_listed_with_what_is_the_same(twins: Loop) -> None:
    [row] = listed(twins)
    assert set(row["leads"]) == {lead(twins, "ana@x.io"), lead(twins, "anna@y.io")}
    assert row["evidence"] == [{"kind": "phone", "value": "+4930123456"}]
    assert row["score"] == 30


def test_linked_they_are_one_and_both_names_lead_there(twins: Loop) -> None:
    ana, anna = lead(twins, "ana@x.io"), lead(twins, "anna@y.io")
    with twins.workspace.state.begin() as tx:
        keep = duplicates.link(tx, twins.workspace, "ana@x.io", anna)
    twins.settled()
    assert {lead(twins, name) for name in (ana, anna, "ana@x.io", "anna@y.io", "beta/contacts/b1")} == {keep}
    assert twins.alpha.rows["contacts"]["a1"].values["title"] == "Buyer"
    assert listed(twins) == []
    with twins.workspace.state.read() as tx:
        assert len(explain(tx, twins.workspace, keep)["records"]) == 2
    with twins.workspace.state.begin() as tx, pytest.raises(Misconfigured, match="already"):
        duplicates.link(tx, twins.workspace, ana, anna)


def test_dismissed_they_are_not_listed_again_whatever_they_become(twins: Loop) -> None:
    with twins.workspace.state.begin() as tx:
        duplicates.dismiss(tx, twins.workspace, "ana@x.io", "anna@y.io")
        duplicates.dismiss(tx, twins.workspace, "anna@y.io", "ana@x.io")
    assert listed(twins) == []
    twins.reopen()
    with twins.workspace.state.begin() as tx:
        duplicates.link(tx, twins.workspace, "ana@x.io", "bob@x.io")
    twins.settled()
    assert listed(twins) == []
    assert lead(twins, "anna@y.io") != lead(twins, "ana@x.io") == lead(twins, "bob@x.io")


def test_what_was_dismissed_can_still_be_linked(twins: Loop) -> None:
    with twins.workspace.state.begin() as tx:
        duplicates.dismiss(tx, twins.workspace, "ana@x.io", "anna@y.io")
        duplicates.link(tx, twins.workspace, "ana@x.io", "anna@y.io")
        assert tx.execute(select(strangers)).all() == []


def test_a_link_that_was_cut_is_no_duplicate(twins: Loop) -> None:
    with twins.workspace.state.begin() as tx:
        duplicates.link(tx, twins.workspace, "ana@x.io", "anna@y.io")
    twins.settled()
    with twins.workspace.state.begin() as tx:
        unlink(tx, twins.workspace, "beta/contacts/b1")
    twins.settled()
    assert listed(twins) == []


def test_who_is_nobody_is_told(twins: Loop) -> None:
    for pair in (("ana@x.io", "nobody"), ("nobody", "ana@x.io"), ("ana@x.io", "ana@x.io")):
        with twins.workspace.state.begin() as tx, pytest.raises(Misconfigured):
            duplicates.dismiss(tx, twins.workspace, *pair)


def test_who_is_forgotten_is_forgotten_here_too(twins: Loop) -> None:
    with twins.workspace.state.begin() as tx:
        duplicates.dismiss(tx, twins.workspace, "ana@x.io", "anna@y.io")
        person = forget.Person("ana@x.io", leads=[lead(twins, "ana@x.io")], addresses=["ana@x.io"])
        forget.scrub(tx, person)
        assert tx.execute(select(strangers)).all() == []
        assert tx.execute(select(leads.c.id).where(leads.c.id == person.leads[0])).all() == []
