"""Between the engine and a connector: an answer of a shape that no description allows becomes an error with a name.

A connector reads answers as its platform documents them. A proxy, a version half rolled out or a fault over there can
send JSON of any other shape, and no reader can foresee them all: here each one becomes a RetryLater, or an InDoubt for
what had been sent, with what went wrong as its cause. A run then ends with an error that says which platform it was,
nothing counts as done that may not be, and the next run looks it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from config.errors import ClosedloopError, InDoubt, RecordRejected, RetryLater
from config.log import Log
from connectors.api import Connector, Greeter, Health, Notice, ObjectSchema, Operation, Page, Record, Request, Result

log = Log(__name__)

ODD = (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)
"""What reading JSON of an unexpected shape raises."""


STANDING = 100
"""So many times the same page may come again: some lists are told again while they change."""


class Sound:
    """A connector with that promise. `title` is the platform's name for people."""

    def __init__(self, connector: Connector, connection: str, title: str) -> None:
        self._connector = connector
        self._connection = connection
        self._title = title

    @property
    def calls(self) -> int:
        return self._connector.calls

    def check(self) -> Health:
        with self._reading("check"):
            return self._connector.check()

    def describe(self, object: str) -> ObjectSchema:
        with self._reading(object):
            return self._connector.describe(object)

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        with self._reading(object):
            yield from self._moving(self._connector.pull(object, cursor, fields, since=since, bulk=bulk), object)

    def _moving(self, pages: Iterator[Page], object: str) -> Iterator[Page]:
        """The pages. Raises RetryLater where the same one comes again and again: a link that leads to itself."""
        last, times = ("", ""), 0
        for page in pages:
            told = (page.records[0].id, page.records[-1].id) if page.records else (page.cursor, "")
            last, times = told, times + 1 if told == last else 0
            if times >= STANDING:
                what = f"{self._title} gives the same page again and again."
                raise RetryLater(what, after=600, connection=self._connection, object=object, code="odd_answer")
            yield page

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        with self._reading(object):
            return self._connector.read(object, key, values, fields)

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        waiting = {operation.key: operation for operation in operations}
        try:
            for result in self._connector.push(operations, fields):
                waiting.pop(result.key, None)
                yield result
        except ODD as error:
            self._tell(error, operations[0].object)
            for operation in waiting.values():
                lost = InDoubt(self._what, connection=self._connection, object=operation.object, record=operation.id)
                lost.__cause__ = error
                yield Result(operation.key, error=lost)

    def verify(self, request: Request) -> list[Notice]:
        try:
            return self._connector.verify(request)
        except ODD as error:
            self._tell(error, "webhook")
            raise RecordRejected(
                f"This is no webhook delivery of {self._title}.", connection=self._connection, code="unreadable"
            ) from error

    @property
    def greets(self) -> bool:
        """Whether its platform looks at the webhooks' address before it delivers there."""
        return isinstance(self._connector, Greeter)

    def greet(self, request: Request) -> bytes:
        if not isinstance(self._connector, Greeter):
            raise RecordRejected(f"{self._title} does not look at the webhooks' address.", connection=self._connection)
        return self._connector.greet(request)

    def close(self) -> None:
        self._connector.close()

    @property
    def _what(self) -> str:
        return f"{self._title}'s answer is not of the shape its API promises."

    @contextmanager
    def _reading(self, object: str) -> Iterator[None]:
        try:
            yield
        except ClosedloopError:
            raise
        except ODD as error:
            self._tell(error, object)
            raise RetryLater(
                self._what,
                after=60,
                fix="Try again later; if it stays so, report it with the line `answer.odd` of the log.",
                connection=self._connection,
                object=object,
                code="odd_answer",
            ) from error

    def _tell(self, error: BaseException, object: str) -> None:
        """Where it went wrong, not what the answer held: that may be personal."""
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = f"{last.tb_frame.f_code.co_name}:{last.tb_lineno}" if last is not None else ""
        log.warning("answer.odd", connection=self._connection, object=object, error=type(error).__name__, where=where)
