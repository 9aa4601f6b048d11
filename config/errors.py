"""Errors, typed by what the caller must do next.

Every error says what happened, where (connection, object, record, field) and what to do now. `str(error)` is a
message fit for a person; it never carries a secret, and it carries no field value of a lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class ClosedloopError(Exception):
    """The root of everything Closedloop raises on purpose.

    `what` says what happened, `fix` what to do now. The keywords say where; each may be empty.
    """

    def __init__(
        self,
        what: str,
        *,
        fix: str = "",
        connection: str = "",
        object: str = "",
        record: str = "",
        field: str = "",
        code: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.connection = connection
        self.object = object
        self.record = record
        self.field = field
        self.code = code

    @property
    def where(self) -> str:
        """`connection/object/record/field` as far as known."""
        return "/".join(part for part in (self.connection, self.object, self.record, self.field) if part)

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        advice = f" {self.fix}" if self.fix else ""
        return f"{self.what}{place}{advice}"


class RetryLater(ClosedloopError):
    """The platform cannot answer now (rate limit, 5xx, broken answer, no connection). Nothing was changed there.

    `after` is the number of seconds to wait before the next try.
    """

    def __init__(self, what: str, *, after: float = 1.0, **where: str) -> None:
        super().__init__(what, **where)
        self.after = after


class QuotaExhausted(ClosedloopError):
    """The account's allowance is used up; `until` is when it opens again (aware, UTC), if the platform says so."""

    def __init__(self, what: str, *, until: datetime | None = None, **where: str) -> None:
        super().__init__(what, **where)
        self.until = until


class AuthorizationLost(ClosedloopError):
    """The credentials are refused. A person must connect the account again."""


class PermissionMissing(ClosedloopError):
    """The credentials are good but lack a scope or a field permission. Only this object stops."""


class RecordRejected(ClosedloopError):
    """The platform refuses this one record for good; `field` and `code` say why. It goes to quarantine."""


class InDoubt(ClosedloopError):
    """A write was sent and its answer lost: it may or may not have happened. Look it up before sending it again."""


class StateUnusable(ClosedloopError):
    """Our own database cannot be used: full disk, read-only, newer schema, corrupt, locked by another run."""


class Fenced(ClosedloopError):
    """Another process has taken this run over; this one must stop at once and write nothing more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file of the user's: where it is (1-based), what is wrong, what would be right."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class Misconfigured(ClosedloopError):
    """The user's files or settings are wrong. `problems` lists every mistake found, not only the first."""

    def __init__(self, what: str, *, problems: tuple[Problem, ...] | list[Problem] = (), **where: str) -> None:
        super().__init__(what, **where)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)
