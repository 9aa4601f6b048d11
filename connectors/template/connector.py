"""Acme's connector: the port in terms of the client."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from config.clock import stamp, unstamp
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    InDoubt,
    Misconfigured,
    QuotaExhausted,
    RecordRejected,
)
from config.secrets import Secret
from connectors.api import (
    Account,
    Connector,
    FieldSchema,
    Gone,
    Health,
    Notice,
    ObjectSchema,
    Operation,
    Page,
    Record,
    Request,
    Result,
    Surroundings,
    Verb,
)
from connectors.retry import last_word

from .client import PAGE, Client

CONTACTS = "contacts"
OVERLAP = timedelta(seconds=300)
"""Read again by every pull: a row may be listed later than its stamp says."""


def open(account: Account, surroundings: Surroundings) -> Connector:
    """A connector for `account`; no call is made yet."""
    if not account.auth.get("key"):
        raise Misconfigured("Acme needs auth.key.", connection=account.connection)
    return AcmeConnector(account, surroundings)


class AcmeConnector:
    """One Acme account."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self._account = account
        self._client = Client(account, surroundings)

    @property
    def calls(self) -> int:
        return self._client.rest.calls

    def close(self) -> None:
        self._client.rest.close()

    # what is there

    def check(self) -> Health:
        me = self._client.me()
        return Health(str(me["id"]), str(me["name"]))

    def describe(self, object: str) -> ObjectSchema:
        self._known(object)
        return ObjectSchema(object, {str(field["name"]): _schema(field) for field in self._client.fields()})

    # pull and read

    def pull(
        self, object: str, cursor: str | None, fields: Sequence[str], *, since: str = "", bulk: bool = False
    ) -> Iterator[Page]:
        """A cursor is JSON: `since`, and within a pull the next `page` and the `newest` stamp seen so far."""
        self._known(object)
        state: dict[str, str] = orjson.loads(cursor) if cursor else {"since": since}
        more = True
        while more:
            page = state.get("page")
            told = self._client.contacts({"page": page} if page else {"updated_after": state["since"]})
            rows = told["contacts"]
            newest = max([state.get("newest", ""), *(str(row["updated_at"]) for row in rows)])
            more = bool(told["next"])
            if more:
                state = {"since": state["since"], "page": str(told["next"]), "newest": newest}
            else:
                state = {"since": _before(newest) or state["since"]}
            yield Page([_record(row) for row in rows], orjson.dumps(state).decode(), more)

    def read(self, object: str, key: str, values: Sequence[str], fields: Sequence[str]) -> dict[str, Record]:
        """By address only the living: an archived contact gives its address free."""
        self._known(object)
        if key not in ("id", "email"):
            raise Misconfigured(f"Acme cannot find contacts by {key}.", connection=self._account.connection)
        asked = {value.lower(): value for value in values}
        found = {}
        for some in (values[start : start + PAGE] for start in range(0, len(values), PAGE)):
            for row in self._client.contacts({f"{key}s": ",".join(some)})["contacts"]:
                value = asked.get(str(row[key]).lower())
                if value is not None and (key == "id" or not row["archived"]):
                    found[value] = _record(row)
        return found

    # push

    def push(self, operations: Sequence[Operation], fields: Sequence[str]) -> Iterator[Result]:
        """One call for each. After a lost authorization, or without calls left, nothing more is sent."""
        over: ClosedloopError | None = None
        for operation in operations:
            if over is not None:
                yield Result(operation.key, error=over)
                continue
            try:
                yield self._write(operation)
            except ClosedloopError as error:
                over = error if isinstance(error, AuthorizationLost | QuotaExhausted) else None
                yield Result(operation.key, error=error)

    def _write(self, operation: Operation) -> Result:
        self._known(operation.object)
        if operation.verb in (Verb.ARCHIVE, Verb.ERASE):
            return self._put_away(operation)
        values = _allowed(operation.values)
        if operation.verb is Verb.UPDATE:
            if not values:
                return Result(operation.key, operation.id)
            answer = self._client.update(operation.id, values)
        elif email := operation.match.get("email"):
            answer = self._client.upsert(str(email), values)
        else:
            answer = self._client.create(values)
        return Result(operation.key, str(answer.told["id"]), answer.status == 201, _record(answer.told))

    def _put_away(self, operation: Operation) -> Result:
        try:
            self._client.remove(operation.id, erase=operation.verb is Verb.ERASE)
        except (RecordRejected, InDoubt) as error:
            if last_word(error).code != "not_found":  # what is away already is done
                raise
        return Result(operation.key, operation.id)

    # webhooks

    def verify(self, request: Request) -> list[Notice]:
        """Believed by an HMAC-SHA256 of the body."""
        secret = self._account.auth.get("webhook_secret")
        told = {name.lower(): value for name, value in request.headers.items()}.get("x-acme-signature", "")
        key = secret.reveal() if isinstance(secret, Secret) else str(secret or "")
        made = hmac.new(key.encode(), request.body, hashlib.sha256).hexdigest()
        if not key or not hmac.compare_digest(made.encode(), told.encode()):
            raise AuthorizationLost("The webhook's signature is missing or wrong.", connection=self._account.connection)
        return [Notice(CONTACTS, str(event["contact_id"])) for event in orjson.loads(request.body)]

    def _known(self, object: str) -> None:
        if object != CONTACTS:
            raise Misconfigured(f"Acme has no object {object!r}.", connection=self._account.connection)


def _record(row: Mapping[str, Any]) -> Record:
    gone = Gone.ARCHIVED if row["archived"] else None
    return Record(str(row["id"]), orjson.dumps(row), stamp(unstamp(str(row["updated_at"]))), gone)


def _before(newest: str) -> str:
    """The stamp from which the next pull reads; "" where nothing was seen."""
    return stamp(unstamp(newest) - OVERLAP) if newest else ""


def _allowed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without a permission that is not an opt-out: only the person can give that."""
    opt_out = values.get("subscription") == "unsubscribed"
    return {name: value for name, value in values.items() if name != "subscription" or opt_out}


def _schema(field: Mapping[str, Any]) -> FieldSchema:
    return FieldSchema(
        str(field["name"]),
        str(field["type"]),
        str(field["label"]),
        writable=bool(field["writable"]),
        unique=bool(field["unique"]),
        length=int(field["length"]),
        options=tuple(field["options"]),
    )
