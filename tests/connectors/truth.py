"""How far a platform was held against truth that we did not write: recorded answers and published descriptions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Truth:
    """What was held against what.

    `bodies`: recorded bodies of objects we use, replayed through the reading side. `unread`: of these, bodies or
    members that the reading side lost or could not take, without an explanation. `operations`: kinds of requests that
    we send, validated against the vendor's description. `invalid`: of these, the ones that it does not allow.
    `differences`: members in which the sandbox's answers differ from recorded or described ones. `explained`: of
    these, the ones that the platform's README or the test explains.
    """

    bodies: int
    unread: int
    operations: int
    invalid: int
    differences: int
    explained: int
