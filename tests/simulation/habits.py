"""What accounts of one platform differ in, by its sandbox's switches: drawn for a scenario.

Rules of an org hold for the engine's calls only: what people do there had to pass them before it is anything of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from random import Random
from typing import Any

HABITS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "activecampaign": {"includes": (False,), "heeds_offset": (False,)},
    "calendly": {"plain_pages": (True,)},
    "hubspot": {"index_lag": (20.0, 300.0), "status_207": (True,)},
    "mailchimp": {"store.with_contact_ids": (False, True)},
    "outreach": {"by_offset": (True,), "hides_trash": (True,), "store.bump_on_no_change": (False, True)},
    "salesforce": {"page_size": (1,), "session_calls": (3,), "duplicate_rule": (True,), "upsert_status": (204,)},
    "zoho": {"coql_shows_converted": (True,)},
}
"""Platform -> switch -> what it may stand at besides the usual."""
PASSING = ("index_lag", "session_calls")
"""Those of a bad time; the others are how the account is, for good."""


def usual(sandbox: Any) -> dict[str, Any]:
    """How its switches stand now."""
    return {name: attrgetter(name)(sandbox) for name in HABITS.get(sandbox.name, {})}


def put(sandbox: Any, switches: Mapping[str, Any]) -> None:
    for name, value in switches.items():
        whole, _, last = name.rpartition(".")
        setattr(attrgetter(whole)(sandbox) if whole else sandbox, last, value)


def drawn(sandbox: Any, usual: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """Another stand of some switches."""
    known = HABITS.get(sandbox.name, {})
    return {name: rng.choice((value, value, value, *known[name])) for name, value in usual.items()}


def _odd_names(row: Any) -> str | None:
    return "This name is not allowed." if str(row.get("LastName") or " ")[-1] in "13579" else None


@contextmanager
def strict(sandbox: Any) -> Iterator[None]:
    """Inside, the account refuses some records for good, where it has rules for that."""
    if sandbox.name == "salesforce":
        sandbox.add_rule("leads", _odd_names)
        try:
            yield
        finally:
            sandbox.store.rules.clear()
    elif sandbox.name == "outreach":
        sandbox.excluded.add("x.example")
        try:
            yield
        finally:
            sandbox.excluded.clear()
    else:
        yield
