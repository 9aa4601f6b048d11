"""Which scope each call of a connector needs, as its manifest's `calls:` says, and what a grant has beyond them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from connectors.manifest import Manifest


def needed(facts: Manifest, method: str, path: str) -> frozenset[str] | None:
    """The scopes that the call needs; empty where it needs none, None for a call that the table does not speak of."""
    line = f"{method} {path}"
    found = {scope for scope, calls in facts.calls.items() if any(_pattern(call).fullmatch(line) for call in calls)}
    return frozenset(found - {""}) if found else None


@cache
def _pattern(call: str) -> re.Pattern[str]:
    """`GET|POST /a/*/b/**`: a star is any text within one part of the path, two of them are any path."""
    methods, _, path = call.partition(" ")
    return re.compile(f"({methods}) " + re.escape(path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))


def known(facts: Manifest) -> frozenset[str]:
    """All scopes that a log-in asks for or a call needs."""
    found = set(facts.calls) - {""}
    for mode in facts.auth.values():
        found.update(mode.scopes)
        if mode.grant:
            found.update(mode.grant.scopes)
            found.update(scope for words in mode.grant.also.values() for scopes in words.values() for scope in scopes)
    return frozenset(found)


def beyond(facts: Manifest, granted: Iterable[str]) -> tuple[str, ...]:
    """Those of the granted scopes that no log-in asks for and no call needs: whoever gets the token could use them."""
    return tuple(sorted(set(granted) - known(facts)))
