"""Writing to Mailchimp: five hundred members a call, tags by segment, and never against the law.

`status` is sent in two cases only: for somebody new, and to take somebody off. A member who is there already is never
set to anything that would have them mailed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.clock import Clock
from config.errors import AuthorizationLost, ClosedloopError, InDoubt, RecordRejected, RetryLater
from connectors.api import Operation, Record, Result, Verb
from connectors.mailchimp.batches import Piece, perform
from connectors.mailchimp.client import Client, subscriber_hash
from connectors.retry import last_word

BATCH = 500
FEW = 3
"""Up to so many members are written one by one: each answers with its own error."""
MANY = 100
"""From so many on, what needs a call of its own is handed over as one batch operation, which starts slowly."""

AsRecord = Callable[[dict[str, Any]], Record]


@dataclass(frozen=True, slots=True)
class Audience:
    """What writing to an audience takes. `fallback` is the status of somebody new without recorded consent, `groups`
    gives the ids of the interest groups by "Category/Interest"."""

    client: Client
    clock: Clock
    id: str
    fallback: str
    as_record: AsRecord
    groups: Callable[[], Mapping[str, str]]


def push_members(audience: Audience, operations: Sequence[Operation]) -> Iterator[Result]:
    """One result per operation."""
    writer = _Writer(audience)
    good: list[Operation] = []
    for operation in operations:
        if operation.verb in (Verb.ARCHIVE, Verb.ERASE):
            yield writer.put_away(operation)
            continue
        refused = _refused(operation) or writer.unknown_group(operation)
        if refused is not None:
            yield Result(operation.key, error=refused)
        else:
            good.append(operation)
    yield from _until_stopped(_written(writer, good), good)


def _written(writer: _Writer, good: Sequence[Operation]) -> Iterator[Result]:
    single = [operation for operation in good if _needs_own_call(operation)]
    many = [operation for operation in good if not _needs_own_call(operation)]
    if len(many) <= FEW:
        single, many = list(good), []
    if len(single) >= MANY:
        yield from writer.together(single)
    else:
        for operation in single:
            yield writer.one(operation)
    for verb in (Verb.UPDATE, Verb.CREATE):
        rows = [operation for operation in many if operation.verb is verb]
        for start in range(0, len(rows), BATCH):
            yield from writer.batch(rows[start : start + BATCH], existing=verb is Verb.UPDATE)


def _until_stopped(results: Iterator[Result], operations: Sequence[Operation]) -> Iterator[Result]:
    """The results, until one shows that no other can go through (credentials): the rest carry its error."""
    answered: set[str] = set()
    for result in results:
        answered.add(result.key)
        yield result
        if isinstance(result.error, AuthorizationLost):
            for operation in operations:
                if operation.key not in answered:
                    yield Result(operation.key, error=result.error)
            return


def email_of(operation: Operation) -> str:
    """The address under which Mailchimp knows (or will know) the member."""
    match = operation.match.get("email_address")
    return str(match or operation.values.get("email_address") or "")


def _refused(operation: Operation) -> RecordRejected | None:
    status = operation.values.get("status")
    if not email_of(operation):
        return RecordRejected("A member needs an e-mail address.", fix="Map email_address.", code="no_email")
    if operation.verb is Verb.UPDATE and status not in (None, "unsubscribed"):
        return RecordRejected(
            "Only an opt-out can be written to a member.",
            fix="Only the person can come back, by a sign-up form.",
            field="status",
            code="consent",
        )
    return None


def _needs_own_call(operation: Operation) -> bool:
    """A new address and an opt-out are written one by one: a batch would say neither exactly."""
    if operation.verb is Verb.CREATE:
        return False
    moved = str(operation.values.get("email_address") or email_of(operation)).lower() != email_of(operation).lower()
    return moved or "status" in operation.values


class _Writer:
    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._client = audience.client
        self._segments: dict[str, int] = {}

    def _path(self, rest: str = "") -> str:
        return f"/lists/{self._audience.id}/{rest}" if rest else f"/lists/{self._audience.id}"

    def unknown_group(self, operation: Operation) -> RecordRejected | None:
        """The refusal of an interest group that the audience does not have."""
        wanted = [name for name in operation.values if name.startswith("interests.")]
        unknown = [name for name in wanted if name[10:] not in self._audience.groups()] if wanted else []
        if not unknown:
            return None
        return RecordRejected(
            "The audience has no such interest group.",
            fix="Write interests.<Category/Interest>, as Mailchimp names them.",
            field=unknown[0],
            code="unknown_group",
        )

    def _member(self, operation: Operation) -> dict[str, Any]:
        return _member(operation, self._audience.groups)

    # one by one

    def one(self, operation: Operation) -> Result:
        try:
            member = self._write_one(operation)
        except ClosedloopError as error:
            return Result(operation.key, error=error)
        tags = _tags(operation)
        if tags:
            listed = [{"name": tag, "status": "active" if on else "inactive"} for tag, on in tags.items()]
            path = self._path(f"members/{subscriber_hash(member['email_address'])}/tags")
            try:
                self._client.call("POST", path, None, {"tags": listed, "is_syncing": True})
            except ClosedloopError as error:
                return Result(operation.key, error=_half_done(error))
        return self._done(operation, member)

    def _write_one(self, operation: Operation) -> dict[str, Any]:
        if operation.verb is Verb.CREATE:
            return self._add(operation, subscriber_hash(email_of(operation)))
        piece = self._change(operation)
        try:
            changed: dict[str, Any] = self._client.call(piece.method, piece.path, None, piece.body)
        except (RecordRejected, InDoubt) as error:
            return self._moved(operation, piece, error)
        return changed

    def _moved(self, operation: Operation, piece: Piece, refused: RecordRejected | InDoubt) -> dict[str, Any]:
        """The member under the new address, where it was written already and the answer was lost: on accounts without
        contact ids nobody is found by the old one then. Raises `refused` where nobody stands there as was written."""
        old, new = email_of(operation), str(operation.values.get("email_address") or "")
        is_by_address = operation.id == subscriber_hash(old) and operation.id != subscriber_hash(new)
        if not (new and is_by_address) or last_word(refused).code not in ("resource_not_found", "404"):
            raise refused
        try:
            member: dict[str, Any] = self._client.call("GET", self._path(f"members/{subscriber_hash(new)}"))
        except RecordRejected:
            raise refused from None
        if not _shows(member, piece.body):
            raise refused
        return member

    def _add(self, operation: Operation, name: str) -> dict[str, Any]:
        """Somebody new by POST, which tells whether they were there already; those keep their status."""
        body = self._member(operation)
        try:
            # asked twice it answers Member Exists, and changes nothing
            new: dict[str, Any] = self._client.call(
                "POST", self._path("members"), None, {**body, "status": self._status(operation)}
            )
        except (RecordRejected, InDoubt) as error:
            if last_word(error).code != "member_exists":
                raise
            body["status_if_new"] = self._status(operation)
            standing: dict[str, Any] = self._client.call("PUT", self._path(f"members/{name}"), None, body)
            return standing
        return {**new, "is_new": True}

    def _change(self, operation: Operation) -> Piece:
        """The call that changes a member; a mere look where there is nothing but tags to set. It goes by contact id: a
        new address whose answer was lost can be written again, and one that was passed on finds nobody else. An address
        that is not written is not sent, since they may have changed it."""
        body, path = (
            self._member(operation),
            self._path(f"members/{operation.id or subscriber_hash(email_of(operation))}"),
        )
        if "email_address" not in operation.values:
            del body["email_address"]
        if "status" in operation.values:
            body["status"] = operation.values["status"]
        if not body:
            return Piece(operation.key, "GET", path, None)
        return Piece(operation.key, "PATCH", path, body)

    def _or_moved(
        self, operation: Operation, piece: Piece, refused: RecordRejected
    ) -> dict[str, Any] | ClosedloopError:
        try:
            return self._moved(operation, piece, refused)
        except ClosedloopError as error:
            return error

    def put_away(self, operation: Operation) -> Result:
        """Archive a member, or delete them for good: then nobody can add the address again but the person. Who is away
        already is away."""
        email = email_of(operation)
        path = self._path(f"members/{subscriber_hash(email) if email else operation.id}")
        try:
            if operation.verb is Verb.ERASE:
                self._client.call("POST", f"{path}/actions/delete-permanent")
            else:
                self._client.call("DELETE", path)
        except ClosedloopError as error:
            if last_word(error).code not in ("resource_not_found", "404", "method_not_allowed"):
                return Result(operation.key, error=error)
        return Result(operation.key, operation.id)

    # all in one job

    def together(self, operations: Sequence[Operation]) -> Iterator[Result]:
        """Many calls as batch operations, tags after them; a second change to one member after the first."""
        by_email: dict[str, Operation] = {}
        again: list[Operation] = []
        for operation in operations:
            if by_email.setdefault(email_of(operation).lower(), operation) is not operation:
                again.append(operation)
        first = {op.key: op for op in by_email.values()}
        pieces = {key: self._change(op) for key, op in first.items()}
        outcomes = perform(self._client, self._audience.clock, list(pieces.values()))
        for key, outcome in outcomes.items():
            if isinstance(outcome, RecordRejected):
                outcomes[key] = self._or_moved(first[key], pieces[key], outcome)
        done = [op for op in first.values() if not isinstance(outcomes[op.key], ClosedloopError)]
        failed = self._tag_all(done)
        for key, operation in first.items():
            outcome = outcomes[key]
            if isinstance(outcome, ClosedloopError):
                yield Result(key, error=outcome)
            elif key in failed:
                yield Result(key, error=failed[key])
            else:
                yield self._done(operation, outcome)
        for operation in again:
            yield self.one(operation)

    def _status(self, operation: Operation) -> str:
        """Subscribed only with the evidence at hand; otherwise what the settings say."""
        wanted = operation.values.get("status")
        if wanted == "subscribed" and (operation.values.get("timestamp_opt") or operation.values.get("ip_opt")):
            return "subscribed"
        return "unsubscribed" if wanted in ("unsubscribed", "cleaned") else self._audience.fallback

    # in batches

    def batch(self, operations: Sequence[Operation], *, existing: bool) -> Iterator[Result]:
        """Up to five hundred members, their tags after them. New ones are not to overwrite: whoever turns out to be a
        member already is written one by one, without a status."""
        by_email: dict[str, Operation] = {}
        again: list[Operation] = []
        for operation in operations:
            if by_email.setdefault(email_of(operation).lower(), operation) is not operation:
                again.append(operation)
        yield from self._batch(by_email, existing=existing)
        for operation in again:  # a second write to one member comes after the first
            yield self.one(operation)

    def _batch(self, by_email: dict[str, Operation], *, existing: bool) -> Iterator[Result]:
        written: dict[str, dict[str, Any]] = {}
        bare = [op for op in by_email.values() if existing and set(self._member(op)) == {"email_address"}]
        full = {email: op for email, op in by_email.items() if op not in bare}
        try:
            errors = self._post(full, existing, written) if full else {}
        except RecordRejected as error:
            yield from self._halves(list(by_email.values()), existing, error)
            return
        except ClosedloopError as error:
            yield from (Result(op.key, error=error) for op in by_email.values())
            return
        for email, refused in errors.items():
            operation = by_email.pop(email)
            yield self.one(operation) if refused is None else Result(operation.key, error=refused)
        if existing:
            for email in [email for email in by_email if email in written and written[email].get("is_new")]:
                yield self._was_gone(by_email.pop(email), written[email])
        failed = self._tag_all(list(by_email.values()))
        for email, operation in by_email.items():
            if operation.key in failed:
                yield Result(operation.key, error=failed[operation.key])
            elif operation in bare:
                yield Result(operation.key, operation.id)
            elif email in written:
                yield self._done(operation, written[email])
            else:
                yield Result(operation.key, error=InDoubt("Mailchimp's answer leaves this member out."))

    def _halves(self, operations: list[Operation], existing: bool, error: RecordRejected) -> Iterator[Result]:
        """A batch that is refused as a whole: halved, down to the member who is to blame."""
        if len(operations) == 1:
            yield Result(operations[0].key, error=error)
            return
        middle = len(operations) // 2
        for half in (operations[:middle], operations[middle:]):
            yield from self.batch(half, existing=existing)

    def _post(
        self, by_email: Mapping[str, Operation], existing: bool, written: dict[str, dict[str, Any]]
    ) -> dict[str, ClosedloopError | None]:
        members = [self._member(op) for op in by_email.values()]
        if not existing:
            for member, operation in zip(members, by_email.values(), strict=True):
                member["status"] = self._status(operation)
        body = {"members": members, "update_existing": existing}
        told = self._client.call("POST", self._path(), None, body)
        for row in told["new_members"]:
            row["is_new"] = True
        for member in (*told["new_members"], *told["updated_members"]):
            written[str(member["email_address"]).lower()] = member
        errors = {str(row.get("email_address") or "").lower(): _row_error(row) for row in told["errors"]}
        return {email: error for email, error in errors.items() if email in by_email}

    def _was_gone(self, operation: Operation, member: Mapping[str, Any]) -> Result:
        """A batch makes a member anew who had gone meanwhile, and nobody asked them: they are put away at once."""
        try:
            self._client.call("DELETE", self._path(f"members/{subscriber_hash(member['email_address'])}"))
        except ClosedloopError as error:
            return Result(operation.key, error=error)
        gone = RecordRejected("The member had gone meanwhile.", fix="The next sync notices it.", code="gone")
        return Result(operation.key, error=gone)

    def _tag_all(self, operations: Sequence[Operation]) -> dict[str, ClosedloopError]:
        """Set tags by their static segments, five hundred members a call; the operations that failed."""
        wanted: dict[tuple[str, bool], list[Operation]] = defaultdict(list)
        for operation in operations:
            for tag, on in _tags(operation).items():
                wanted[(tag, on)].append(operation)
        failed: dict[str, ClosedloopError] = {}
        for (tag, on), those in wanted.items():
            for start in range(0, len(those), BATCH):
                some = those[start : start + BATCH]
                try:
                    refused = self._tag(tag, on, [email_of(op) for op in some])
                except ClosedloopError as error:
                    failed.update({op.key: _half_done(error) for op in some})
                    continue
                failed.update({op.key: _not_tagged(tag) for op in some if email_of(op).lower() in refused})
        return failed

    def _tag(self, tag: str, on: bool, emails: list[str]) -> set[str]:
        """Set one tag on or off; the addresses, in lower case, for which Mailchimp refused it."""
        segment = self._segment(tag)
        if segment is None and on:
            # made empty, since a segment made with members does not tell which of them it left out
            body: dict[str, Any] = {"name": tag, "static_segment": []}
            told = self._client.call("POST", self._path("segments"), None, body, repeatable=False)
            segment = self._segments[tag] = int(told["id"])
        if segment is not None:
            body = {("members_to_add" if on else "members_to_remove"): emails}
            told = self._client.call("POST", self._path(f"segments/{segment}"), None, body)
            return {str(name).lower() for row in told["errors"] for name in row.get("email_addresses") or ()}
        return set()

    def _segment(self, tag: str) -> int | None:
        if tag not in self._segments:
            told = self._client.call("GET", self._path("tag-search"), {"name": tag})
            for row in told["tags"]:
                self._segments[row["name"]] = int(row["id"])
        return self._segments.get(tag)

    def _done(self, operation: Operation, member: dict[str, Any]) -> Result:
        if operation.verb is Verb.UPDATE and member.get("status") == "archived":
            # Mailchimp takes the change and leaves the member in the archive: nobody would see it
            gone = RecordRejected("The member was archived meanwhile.", fix="The next sync notices it.", code="gone")
            return Result(operation.key, error=gone)
        created = bool(member.get("is_new"))
        told = {name: value for name, value in member.items() if name != "is_new"}
        record = self._audience.as_record(_with_tags(told, _tags(operation)))
        return Result(operation.key, record.id, created=created, record=record)


def _half_done(error: ClosedloopError) -> ClosedloopError:
    """What befell the tags of a member who was written: the write is not one that was never sent."""
    if isinstance(error, RecordRejected | InDoubt):
        return error
    return InDoubt(f"The member was written, and nothing tells of the tags: {error.what}", connection=error.connection)


def _with_tags(member: dict[str, Any], tags: Mapping[str, bool]) -> dict[str, Any]:
    """The member as it stands after its tags were set: the answer before them does not show them."""
    names = {tag["name"] for tag in member.get("tags") or []}
    names = (names | {tag for tag, on in tags.items() if on}) - {tag for tag, on in tags.items() if not on}
    return {**member, "tags": [{"name": name} for name in sorted(names)]}


def _member(operation: Operation, groups: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    """The member's body: merge fields nested, interest groups by id, no status, no tags."""
    body: dict[str, Any] = {"email_address": operation.values.get("email_address") or email_of(operation)}
    for name, value in operation.values.items():
        top, _, rest = name.partition(".")
        if top == "merge_fields":
            tag, _, part = rest.partition(".")
            fields = body.setdefault("merge_fields", {})
            if part:
                fields.setdefault(tag, {})[part] = "" if value is None else value
            else:
                fields[tag] = "" if value is None else value
        elif top == "interests":
            body.setdefault("interests", {})[groups()[rest]] = bool(value)
        elif top not in ("tags", "status", "email_address"):
            body[name] = "" if value is None else value
    return body


def _tags(operation: Operation) -> dict[str, bool]:
    return {name[5:]: bool(on) for name, on in operation.values.items() if name.startswith("tags.")}


def _shows(told: Any, sent: Any) -> bool:
    """Whether an answer has what was sent."""
    if isinstance(sent, Mapping):
        return isinstance(told, Mapping) and all(_shows(told.get(name), value) for name, value in sent.items())
    return str("" if told is None else told).casefold() == str(sent).casefold()


def _not_tagged(tag: str) -> RecordRejected:
    return RecordRejected("Mailchimp did not set the tag.", fix="Look at the member.", field=f"tags.{tag}", code="tag")


def _row_error(row: Mapping[str, Any]) -> ClosedloopError | None:
    """The error of one row; None for a member who exists already and is to be written alone."""
    if row.get("error_code") == "ERROR_CONTACT_EXISTS":
        return None
    text = str(row.get("error") or "").lower()
    if "signed up to a lot of lists" in text:
        return RetryLater("Mailchimp wants this address later.", after=86_400)
    code = "compliance" if "compliance" in text else "forgotten" if "permanently deleted" in text else "invalid"
    field = str(row.get("field") or "").replace("email address", "email_address")
    return RecordRejected("Mailchimp refuses this member.", fix="Look at its fields.", field=field, code=code)
