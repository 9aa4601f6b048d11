"""Writing contacts one by one: read, merge, write.

A create is a POST, or where the lead agreed to be mailed and a list is set, the sign-up form, which is an upsert. Where
the address is known already, the contact that has it is updated. Of permissions only an opt-out is ever written to
somebody who is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from config.errors import ClosedloopError, InDoubt, Misconfigured, RecordRejected
from connectors.api import Operation, Record, Result, Verb
from connectors.constant_contact.client import DELETED, Client, Row
from connectors.constant_contact.merge import OUT, fresh, whole, writable
from connectors.constant_contact.objects import ADDRESS, CORE, CUSTOM, TAGS, WHOLE, Known, id_of, stands

FORM_EMAIL = 50
"""The longest address that the sign-up form takes; a contact may have one of 80."""
AGREED = "explicit"


class Contacts:
    """The writes of one push."""

    def __init__(
        self, client: Client, known: Known, read: Callable[[Row], Record], settings: Mapping[str, Any]
    ) -> None:
        self.client, self.known, self.read = client, known, read
        self._settings = settings

    @property
    def fallback(self) -> str:
        """The permission of somebody new without recorded consent."""
        return str(self._settings.get("permission_if_new") or "not_set")

    @property
    def lists(self) -> list[str]:
        """The id of the list that new contacts join."""
        told = str(self._settings.get("list") or "")
        id = self.known.list(told) if told else None
        if told and id is None:
            raise Misconfigured(
                "settings.list names no list of the account.",
                fix="Contacts > Lists shows them.",
                connection=self.client.connection,
            )
        return [id] if id else []

    def push(self, operation: Operation) -> Result:
        """The result of one operation; our errors where it is refused."""
        values = allowed(operation)
        self._tagged(values)
        if operation.verb is Verb.UPDATE:
            return self._result(operation, self.update(operation.id, values), created=False)
        return self._create(operation, values)

    def _result(self, operation: Operation, row: Row, *, created: bool) -> Result:
        return Result(operation.key, str(row["contact_id"]), created, self.read(row))

    def _tagged(self, values: Mapping[str, Any]) -> None:
        """Make the tags that are to be given and are not there."""
        for name in [name for name, on in values.items() if name.startswith(TAGS) and on]:
            tag = name.removeprefix(TAGS)
            if id_of(self.known.tags, tag) is None and self.known.tag(tag) is None:
                self._new_tag(tag)

    def _new_tag(self, name: str) -> None:
        try:
            made = self.client.write("POST", "contact_tags", {"name": name})
        except (RecordRejected, InDoubt):
            if self.known.tag(name) is None:
                raise
        else:
            self.known.tags[str(made["tag_id"])] = name

    # update

    def update(self, id: str, values: Mapping[str, Any]) -> Row:
        """The contact as it stands afterwards. A lost answer, or somebody else who wrote at the same moment, takes one
        more round of read, merge, write, unless that somebody changed what is to be written."""
        seen: dict[str, Any] = {}
        return _twice(lambda: self._rewritten(id, values, seen), "conflict")

    def _rewritten(self, id: str, values: Mapping[str, Any], seen: dict[str, Any]) -> Row:
        row = self.client.contact(id, WHOLE)
        if row is None or row.get(DELETED) or row.get("contact_id") != id:
            raise _vanished(id)
        told = stands(row, values, self.known)
        if any(told[name] not in (seen[name], values[name]) for name in seen):
            what = "Somebody changed the contact while it was written."
            raise InDoubt(what, connection=self.client.connection)
        seen.update(told)
        return self._put(row, values)

    def _put(self, row: Row, values: Mapping[str, Any]) -> Row:
        """Write the whole contact back. A row without what every contact has is no answer to build upon."""
        if not isinstance(row.get("email_address"), dict) and not any(row.get(name) for name in CORE):
            raise _vanished(str(row.get("contact_id")))
        body = whole(row, values, self.known)
        return _standing(row, body, self.client.write("PUT", f"contacts/{row['contact_id']}", body))

    # create

    def _create(self, operation: Operation, values: Mapping[str, Any]) -> Result:
        email = str(values.get("email") or operation.match.get("email") or "")
        values = {**values, "email": email}
        if not email:
            raise RecordRejected("A contact needs an e-mail address.", fix="Map email.", code="no_email")
        if self._by_form(values):
            return self._signed_up(operation, values)
        body = fresh(values, self.known, self.lists, self._permission(values))
        try:
            row = self.client.write("POST", "contacts", body)
        except RecordRejected as error:
            if error.code not in ("duplicate", "conflict"):
                raise
            there = self.find(email, error.record)
            if there is None:
                raise
            return self._met(operation, there, values)
        row = _standing({}, body, row)
        if values.get("opt_out_reason"):  # a POST takes none
            row = self._with_reason(str(row["contact_id"]), values["opt_out_reason"])
        return self._result(operation, row, created=True)

    def _with_reason(self, id: str, reason: Any) -> Row:
        try:
            return self.update(id, {"opt_out_reason": reason})
        except InDoubt:
            raise
        except ClosedloopError as error:  # the contact is there: it is no create that was refused, or never sent
            what = f"The contact was made, and nothing tells of the reason: {error.what}"
            raise InDoubt(what, connection=self.client.connection) from error

    def _permission(self, values: Mapping[str, Any]) -> str:
        told = values.get("permission_to_send")
        return str(told) if told in (AGREED, OUT) else self.fallback

    def find(self, email: str, id: str = "") -> Row | None:
        """Whoever has the address, whatever the status; by the id that a refusal named, or by the address."""
        row = self.client.contact(id, WHOLE) if id else None
        return row or self.client.contact_of(email, WHOLE)

    def _met(self, operation: Operation, there: Row, values: Mapping[str, Any]) -> Result:
        """A create that met a contact: an update of what it says, or a refusal where a person deleted it."""
        if there.get(DELETED) and not self._settings.get("revive"):
            raise RecordRejected(
                "The contact was deleted in Constant Contact.",
                fix="Restore it there, or set settings.revive to true.",
                record=str(there.get("contact_id") or ""),
                code="deleted",
            )
        return self._result(operation, self._put(there, values), created=False)

    def _by_form(self, values: Mapping[str, Any]) -> bool:
        """The form says that the person agreed, so it is for those who did; it knows less than a contact has."""
        if values.get("permission_to_send") != AGREED or len(str(values["email"])) > FORM_EMAIL or not self.lists:
            return False
        return all(
            name in CORE
            or name in ("email", "permission_to_send", "phone")
            or name.startswith(ADDRESS)
            or (name.startswith(CUSTOM) and self.known.plain(name.removeprefix(CUSTOM)))
            for name in values
        )

    def _signed_up(self, operation: Operation, values: Mapping[str, Any]) -> Result:
        """By the form, which would write over whoever is there, and mail them again: they are looked for first."""
        email = str(values["email"])
        there = self.find(email)
        if there is not None:
            return self._met(operation, there, values)
        told = self._filled_in(_form(fresh(values, self.known, self.lists, AGREED)))
        return Result(operation.key, str(told["contact_id"]), created=True)

    def _filled_in(self, body: Mapping[str, Any]) -> Row:
        """The form's answer. It is an upsert: twice is once, and two at one moment are a conflict for one of them."""
        return _twice(lambda: self.client.write("POST", "contacts/sign_up_form", body), "conflict", "duplicate")


def _twice(write: Callable[[], Row], *again: str) -> Row:
    """What `write` tells, asked once more where its answer was lost, or it was refused with one of these codes. What
    was lost may have been done, whatever is answered then."""
    try:
        return write()
    except InDoubt as error:
        lost = error
    except RecordRejected as error:
        if error.code not in again:
            raise
        return write()
    try:
        return write()
    except ClosedloopError as error:
        raise lost from error


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a POST in the words of the sign-up form."""
    told = {name: body[name] for name in (*CORE, "custom_fields", "list_memberships") if name in body}
    told["email_address"] = body["email_address"]["address"]
    if body.get("phone_numbers"):
        told["phone_number"] = body["phone_numbers"][0]["phone_number"]
    if body.get("street_addresses"):
        told["street_address"] = body["street_addresses"][0]
    return told


def _standing(row: Row, body: Mapping[str, Any], told: Row) -> Row:
    """The contact as it stands: what the answer says, and of its lists, where it leaves them out, what was sent or
    stood there."""
    lists = {name: body.get(name, row.get(name)) for name in WHOLE if name not in told}
    return {**told, **{name: rows for name, rows in lists.items() if rows is not None}}


def _vanished(id: str) -> RecordRejected:
    return RecordRejected(
        "The contact was deleted.", fix="The next sync takes note of it.", record=id, code="merged_away"
    )


def allowed(operation: Operation) -> dict[str, Any]:
    """The values that may be written: an opt-out travels; an opt-in reaches nobody who is there already."""
    for name in operation.values:
        if not writable(name):
            raise RecordRejected(
                "This field cannot be written.", fix="Map it with direction: pull.", field=name, code="read_only"
            )
    if operation.verb is Verb.UPDATE and operation.values.get("permission_to_send", OUT) != OUT:
        raise RecordRejected(
            "Only an opt-out can be written to a contact.",
            fix="Only the person can come back, by a sign-up form.",
            field="permission_to_send",
            code="consent",
        )
    return dict(operation.values)


def one_by_one(operations: Sequence[Operation], write: Callable[[Operation], Result]) -> Iterator[Result]:
    """A result each. After an error that would meet the next one as well, the rest carry it."""
    stop: ClosedloopError | None = None
    for operation in operations:
        if stop is not None:
            yield Result(operation.key, error=stop)
            continue
        result = _tried(operation, write)
        if result.error is not None and not isinstance(result.error, RecordRejected | InDoubt):
            stop = result.error
        yield result


def _tried(operation: Operation, write: Callable[[Operation], Result]) -> Result:
    try:
        return write(operation)
    except ClosedloopError as error:
        error.object, error.record = error.object or operation.object, error.record or operation.id
        return Result(operation.key, operation.id if isinstance(error, InDoubt) else "", error=error)


def put_away(client: Client, operation: Operation) -> Result:
    """Delete a contact. It can be restored in Constant Contact."""
    client.delete(operation.id)
    return replace(Result(operation.key), id=operation.id)
