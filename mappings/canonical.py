"""Canonical forms: two values mean the same exactly when their canonical forms are equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from config.clock import stamp
from mappings.model import Field, FieldType

MAX_TEXT = 32_768
"""Characters. Longer text is no field of a person; it is quarantined, not stored."""

LARGEST_INTEGER = 2**53 - 1
"""Beyond it JSON's readers disagree."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\\\]]+@[^@\s\"(),:;<>\[\\\]]+\.[^@\s\"(),:;<>\[\\\]]{2,}")
"""What precedes the last dot may hold dots. To repeat `label.` instead would take for ever over "a@a.a.a.a(", which
anybody may write into a form."""
_PLAIN_EMAIL = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9-]+\.)+[a-z0-9-]{2,}")
STAMP = re.compile(
    r"[1-9]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII
)
"""A stamp on a day that every month has."""
_UPPER = re.compile(r"[A-Z]")


class Unreadable(ValueError):
    """A value that cannot be read; `code` names the sort of mistake, `reason` says it in words, without the value."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def text(value: Any) -> str | None:
    """Trimmed, NFC, no control characters; None when nothing is left."""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise Unreadable("not_text", "expected text")
        value = number_text(value)
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
    value = value.strip()
    if len(value) > MAX_TEXT:
        raise Unreadable("too_long", f"longer than {MAX_TEXT} characters")
    if not value.isprintable() and (_CONTROL.search(value) or _surrogates(value)):
        raise Unreadable("control_characters", "holds NUL or other control characters")
    return value or None


def _surrogates(value: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in value)


def email(value: Any) -> str | None:
    """Trimmed; domain in lower case and IDNA; local part lower where it is ASCII. `+tag` and dots stay: they are the
    person's own. Raises Unreadable for what is no address."""
    if isinstance(value, str):
        plain = value.strip().lower()
        if len(plain) <= 64 and _PLAIN_EMAIL.fullmatch(plain) and value.isascii():  # most of them: nothing to look into
            return plain
    address = text(value)
    if address is None:
        return None
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise Unreadable("invalid_email", "is no e-mail address")
    local, _, domain = address.rpartition("@")
    if local.startswith(".") or local.endswith(".") or ".." in address or len(local) > 64:
        raise Unreadable("invalid_email", "is no e-mail address")
    if local.isascii():
        local = local.lower()
    return f"{local}@{_domain(domain)}"


def _domain(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise Unreadable("invalid_email", "has a domain that is no domain name") from error


def number_text(value: Any) -> str:
    """A number in plain decimal notation without needless zeros."""
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise Unreadable("invalid_number", "is no number") from error
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise Unreadable("invalid_number", "is no number of a reasonable size")
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") or "0" if "." in plain else plain


def decimal(value: Any) -> str | None:
    """Plain decimal notation; takes numbers and their usual text, with `.` as decimal point."""
    if isinstance(value, str):
        value = value.strip().replace(" ", "").replace(" ", "")
        if not value:
            return None
        if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", value):
            value = value.replace(",", "")
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unreadable("invalid_number", "is no number")
    plain = number_text(value)
    return "0" if plain in ("-0", "") else plain


def integer(value: Any) -> int | None:
    """A whole number; `12.0` is one, `12.5` is not."""
    plain = decimal(value)
    if plain is None:
        return None
    if "." in plain:
        raise Unreadable("invalid_number", "is no whole number")
    number = int(plain)
    if abs(number) > LARGEST_INTEGER:
        raise Unreadable("invalid_number", "is no number of a reasonable size")
    return number


_TRUE = {"true", "yes", "y", "1", "on", "t", "x"}
_FALSE = {"false", "no", "n", "0", "off", "f"}


def boolean(value: Any) -> bool | None:
    """Every dialect of yes and no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if not word:
            return None
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise Unreadable("invalid_boolean", "is neither yes nor no")


def day(value: Any) -> str | None:
    """YYYY-MM-DD, from that form or from an ISO instant (its own day, as written)."""
    written = text(value)
    if written is None:
        return None
    try:
        return date.fromisoformat(written[:10]).isoformat() if len(written) >= 10 else _no_date()
    except ValueError as error:
        raise Unreadable("invalid_date", "is no date") from error


def _no_date() -> str:
    raise Unreadable("invalid_date", "is no date")


def instant(value: Any) -> str | None:
    """A stamp, from any ISO instant; one without a zone counts as UTC."""
    if isinstance(value, str) and STAMP.fullmatch(value):
        return value
    written = text(value)
    if written is None:
        return None
    try:
        at = datetime.fromisoformat(written)
    except ValueError as error:
        raise Unreadable("invalid_datetime", "is no date and time") from error
    try:
        return stamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (OverflowError, ValueError) as error:
        raise Unreadable("invalid_datetime", "is out of range") from error


def money(value: Any) -> dict[str, str] | None:
    """{"amount", "currency"}; an amount alone is no money."""
    if not isinstance(value, Mapping):
        raise Unreadable("invalid_money", "has no currency")
    amount, currency = decimal(value.get("amount")), value.get("currency")
    if amount is None:
        return None
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Z]{3}", currency):
        raise Unreadable("invalid_money", "has no currency code")
    return {"amount": amount, "currency": currency}


def listing(value: Any) -> list[str]:
    """Sorted, each once, blanks left out."""
    items = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return sorted({item for item in map(text, items) if item})


def country(value: Any) -> str | None:
    """ISO 3166-1 alpha-2."""
    code = text(value)
    if code is None:
        return None
    if not re.fullmatch(r"[A-Za-z]{2}", code):
        raise Unreadable("invalid_country", "is no country code")
    return code.upper()


def phone(value: Any) -> str | None:
    """E.164; what is not in that form already is read by the `phone` transform."""
    number = text(value)
    if number is None:
        return None
    if not re.fullmatch(r"\+[1-9][0-9]{4,14}", number):
        raise Unreadable("invalid_phone", "is no phone number in international form")
    return number


FORMS: Mapping[FieldType, Callable[[Any], Any]] = {
    FieldType.TEXT: text,
    FieldType.EMAIL: email,
    FieldType.PHONE: phone,
    FieldType.INTEGER: integer,
    FieldType.DECIMAL: decimal,
    FieldType.MONEY: money,
    FieldType.BOOLEAN: boolean,
    FieldType.DATE: day,
    FieldType.DATETIME: instant,
    FieldType.CHOICE: text,
    FieldType.COUNTRY: country,
    FieldType.LIST: listing,
}


def form(field: Field) -> Callable[[Any], Any]:
    """The function that brings values of `field` into canonical form (None stays out of it)."""
    if field.type is not FieldType.CHOICE or not field.options:
        return FORMS[field.type]
    options = frozenset(field.options)

    def choice(value: Any) -> str | None:
        word = text(value)
        if word is not None and word not in options:
            raise Unreadable("unknown_option", "is none of the field's options")
        return word

    return choice


def canonical(field: Field, value: Any) -> Any:
    """`value` in canonical form. Raises Unreadable."""
    return None if value is None else form(field)(value)


def same(field: Field, one: Any, other: Any) -> bool:
    """Whether two values mean the same."""
    return bool(canonical(field, one) == canonical(field, other))
