"""The sandbox's contacts: what may be written, what a write leaves, who is listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.constant_contact.sandbox_store import PARTS, Refused, Row, Store, after, invalid
from connectors.sandbox import Answer, Call

CORE = {"first_name": 50, "last_name": 50, "job_title": 50, "company_name": 50, "anniversary": 10}
NUMBERS = ("birthday_month", "birthday_day")
MOST = {
    "custom_fields": 25, "list_memberships": 50, "phone_numbers": 3, "street_addresses": 3, "taggings": 50,
    "notes": 150,
}  # fmt: skip
OUT = "unsubscribed"
PERMISSIONS = ("explicit", "implicit", "not_set", "pending_confirmation", "temp_hold", OUT)
STATES = ("all", "active", "deleted", "not_set", "pending_confirmation", "temp_hold", OUT)


class People:
    """The contacts of a store. `confirms`: the account asks everybody new to confirm (confirmed opt-in)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.confirms = False

    # calls

    def listed(self, call: Call) -> Answer:
        query = self.store.query(call.query)
        wanted = query.get("status", "").split(",") if query.get("status") else []
        if unknown := [state for state in wanted if state not in STATES]:
            raise invalid(f"status {unknown[0]} is not valid")
        tests: list[Callable[[Row], bool]] = [
            after(query, "updated_after", lambda row: row["updated_at"]),
            after(query, "created_after", lambda row: row["created_at"]),
            after(query, "optout_after", lambda row: (row.get("email_address") or {}).get("opt_out_date")),
            lambda row: _in_state(row, wanted),
            lambda row: "email" not in query or _address(row) == query["email"].lower(),
        ]

        def passes(row: Row) -> bool:
            return all(test(row) for test in tests)

        rows = list(self.store.rows["contacts"].values())
        told = self.store.page("contacts", rows, call.query, "/v3/contacts", 500, test=passes)
        told["contacts"] = [shown(row, query.get("include", "")) for row in told["contacts"]]
        if query.get("include_count") == "true":
            told["contacts_count"] = sum(passes(row) for row in rows)
        return Answer.of(told)

    def get(self, call: Call, id: str) -> Answer:
        return Answer.of(shown(self.found(id), call.query.get("include", "")))

    def create(self, call: Call) -> Answer:
        given = self._given(call)
        if given.get("create_source") not in ("Account", "Contact"):
            raise invalid("create_source is required")
        email = given.pop("email_address", None)
        if not email and not given.get("first_name") and not given.get("last_name"):
            raise invalid("at least one of first_name, last_name, email_address or sms_channel is required")
        if email and (there := self.store.contact_of(email["address"])):
            raise Refused(409, "contacts.api.conflict", f"Email already exists for contact {there['contact_id']}")
        row = self.store.new("contacts", {name: told for name, told in given.items() if name != "create_source"})
        row["create_source"] = given["create_source"]
        if email:
            row["email_address"] = self.address({}, email, given["create_source"])
        return Answer.of(shown(row, ",".join(name for name in PARTS if name in given)), 201)

    def replace(self, call: Call, id: str) -> Answer:
        """Every property that is left out becomes nothing; lists that are left out stay."""
        row, given = self.found(id), self._given(call)
        if given.get("update_source") not in ("Account", "Contact"):
            raise invalid("update_source is required")
        email = given.pop("email_address", None)
        if email and (there := self.store.contact_of(email["address"])) and there is not row:
            raise Refused(409, "contacts.api.conflict", "Validation failed: EmailAddress is not unique")
        kept = ("contact_id", "created_at", "create_source", *PARTS)
        held = {name: row[name] for name in kept if name in row}
        address = self.address(row.get("email_address") or {}, email, given["update_source"]) if email else None
        row.clear()
        row.update({**held, **{name: told for name, told in given.items() if told is not None}})
        row["updated_at"] = self.store.now()
        if address:
            row["email_address"] = address
        return Answer.of(shown(row, ",".join(name for name in PARTS if name in given)))

    def delete(self, call: Call, id: str) -> Answer:
        self.put_away(self.found(id))
        return Answer(204)

    def sign_up(self, call: Call) -> Answer:
        """An upsert by what a person filled in: it brings back whoever was deleted, or had left."""
        given = call.json if isinstance(call.json, dict) else {}
        email = given.get("email_address")
        if not isinstance(email, str) or len(email) > 50:
            raise invalid("#/email_address: expected maxLength: 50")
        if not given.get("list_memberships"):
            raise invalid("list_memberships is required")
        there = self.store.contact_of(email)
        row = there or self.store.new("contacts", {"create_source": "Contact"})
        self.fill(row, given)
        self._checked({**row, **self._parts(given)})
        held = row.get("email_address") or {}
        wanted = {"address": email, "permission_to_send": "explicit"}
        row["email_address"] = self.address(
            {**held, "opt_out_source": None, "permission_to_send": ""}, wanted, "Contact"
        )
        row.pop("deleted_at", None)
        row["updated_at"] = self.store.now()
        told = {"contact_id": row["contact_id"], "action": "updated" if there else "created"}
        return Answer.of(told, 200 if there else 201)

    def counts(self, call: Call) -> Answer:
        live = [row for row in self.store.rows["contacts"].values() if not row.get("deleted_at")]
        told = {name: sum(_permission(row) == name for row in live) for name in ("explicit", "implicit", OUT)}
        pending = sum(_permission(row) == "pending_confirmation" for row in live)
        return Answer.of({"total": len(live), **told, "pending": pending})

    # what a write leaves

    def found(self, id: str) -> Row:
        row = self.store.rows["contacts"].get(id)
        if row is None:
            raise Refused(404, "contacts.api.not_found", "Contact not found.")
        return row

    def put_away(self, row: Row) -> None:
        row["updated_at"] = self.store.now()
        row["deleted_at"] = row["updated_at"][:10]

    def fill(self, row: Row, given: Mapping[str, Any]) -> None:
        """A partial update: what is given is set or added."""
        row.update({name: given[name] for name in (*CORE, *NUMBERS) if given.get(name) is not None})
        for name, told in self._parts(given).items():
            key = {"custom_fields": "custom_field_id", "phone_numbers": "kind", "street_addresses": "kind"}.get(name)
            new = [one[key] for one in told] if key else told
            held = [one for one in row.get(name) or () if (one[key] if key else one) not in new]
            row[name] = [*held, *told]

    def _parts(self, given: Mapping[str, Any]) -> Row:
        parts = {name: given[name] for name in ("custom_fields", "list_memberships") if given.get(name)}
        if given.get("phone_number"):
            parts["phone_numbers"] = [{"phone_number": given["phone_number"], "kind": "other"}]
        if given.get("phones"):
            parts["phone_numbers"] = given["phones"]
        if given.get("street_address"):
            parts["street_addresses"] = [given["street_address"]]
        return parts

    def _given(self, call: Call) -> Row:
        given = call.json
        if not isinstance(given, dict):
            raise invalid("the body is no contact")
        self._checked(given)
        email = given.get("email_address")
        if email is not None:
            address = email.get("address") if isinstance(email, dict) else None
            if not address or "@" not in address:
                raise invalid("email_address is not valid")
            if len(address) > 80:
                raise invalid(f"#/email_address/address: expected maxLength: 80, actual: {len(address)}")
            if email.get("permission_to_send", "implicit") not in PERMISSIONS:
                raise invalid("permission_to_send is not valid")
        ours = ("contact_id", "created_at", "updated_at", "deleted_at")
        return {name: told for name, told in given.items() if name not in ours}

    def _checked(self, given: Mapping[str, Any]) -> None:
        for name, most in CORE.items():
            if isinstance(given.get(name), str) and len(given[name]) > most:
                raise invalid(f"#/{name}: expected maxLength: {most}, actual: {len(given[name])}")
        for name, most in MOST.items():
            if len(given.get(name) or ()) > most:
                raise invalid(f"#/{name}: expected maxItems: {most}")
        tables = {"list_memberships": "contact_lists", "taggings": "contact_tags"}
        for name, table in tables.items():
            if any(id not in self.store.rows[table] for id in given.get(name) or ()):
                raise invalid(f"{name} is not valid")
        for one in given.get("custom_fields") or ():
            if one.get("custom_field_id") not in self.store.rows["contact_custom_fields"]:
                raise invalid("custom_fields is not valid")
            if len(str(one.get("value") or "")) > 255:
                raise invalid("#/custom_fields/value: expected maxLength: 255")

    def address(self, held: Row, given: Mapping[str, Any], source: str) -> Row:
        """The address as it stands after a write. Who left by themselves cannot be brought back by the account."""
        before = held.get("permission_to_send")
        permission = given.get("permission_to_send") or before or "implicit"
        if before == OUT and held.get("opt_out_source") == "Contact":
            permission = OUT
        if permission == "explicit" and before != "explicit" and self.confirms:
            permission = "pending_confirmation"
        now = self.store.now()
        email = {**held, "address": given["address"], "permission_to_send": permission, "updated_at": now}
        email.setdefault("created_at", now)
        email.setdefault("confirm_status", "pending" if permission == "pending_confirmation" else "off")
        if permission == OUT and before != OUT:
            email.update({"opt_out_source": source, "opt_out_date": now})
        elif permission != OUT and (before == OUT or "opt_in_date" not in email):
            for name in ("opt_out_source", "opt_out_date", "opt_out_reason"):
                email.pop(name, None)
            email.update({"opt_in_source": source, "opt_in_date": now})
        if permission == OUT and given.get("opt_out_reason"):
            email["opt_out_reason"] = given["opt_out_reason"]
        return {name: told for name, told in email.items() if told is not None}

    def unsubscribe(self, row: Row, reason: str = "", *, by: str = "Contact") -> None:
        """Somebody leaves by the link in a mail: the address's time moves, the contact's does not."""
        given = {"address": row["email_address"]["address"], "permission_to_send": OUT, "opt_out_reason": reason}
        row["email_address"] = self.address(row["email_address"], given, by)


def _address(row: Row) -> str:
    return str((row.get("email_address") or {}).get("address") or "").lower()


def _permission(row: Row) -> str:
    return str((row.get("email_address") or {}).get("permission_to_send") or "not_set")


def _in_state(row: Row, wanted: list[str]) -> bool:
    if "all" in wanted:
        return True
    if row.get("deleted_at"):
        return "deleted" in wanted
    state = _permission(row)
    state = "active" if state in ("explicit", "implicit") else state
    return not wanted or state in wanted


def shown(row: Row, include: str) -> Row:
    """A contact as it is told: of its lists only those that are asked for."""
    wanted = {name for name in include.split(",") if name}
    if unknown := wanted - {*PARTS, "sms_channel"}:
        raise invalid(f"include {sorted(unknown)[0]} is not valid")
    return {name: told for name, told in row.items() if name not in PARTS} | {
        name: row.get(name, []) for name in PARTS if name in wanted
    }
