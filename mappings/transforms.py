"""The named transforms: how a platform writes a value, and back.

Each reads a remote value into (a step towards) canonical form and writes it again, its exact inverse on canonical
values. `lossy` ones cannot be undone and may not push. A transform is made once per mapping entry, from its arguments;
wrong arguments raise ValueError with words for the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.clock import stamp, unstamp
from mappings import canonical
from mappings.canonical import Unreadable
from mappings.model import FieldType
from mappings.phones import e164
from mappings.places import country_code, country_name, state_code, state_name


class Lookup(Protocol):
    """The owners of the platform's account."""

    def owner_email(self, id: str) -> str | None: ...

    def owner_id(self, email: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """What values mean that do not say it themselves."""

    country: str = ""
    currency: str = "USD"
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Context:
    """What transforms may know besides the value."""

    defaults: Defaults
    lookup: Lookup | None = None


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Transform:
    """`read` and `write` take and give single values. `fills` writes this where there is nothing to write.

    `sibling` names a second remote field that carries part of the value (a currency): `read` is then given the pair
    (value, sibling's value), and `write` gives such a pair.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = _same
    lossy: bool = False
    fills: Any = None
    sibling: str = ""
    parts: int = 1  # how many unified fields it reads into
    gives: FieldType | None = None  # what `read` gives is in this type's canonical form already
    pure: bool = True  # `read` gives the same for the same value, always


Maker = Callable[[Any, Context], Transform]


def _word(value: Any) -> str:
    """The text of a value; never None (blanks do not reach a transform)."""
    return canonical.text(value) or ""


def _bare(transform: Transform) -> Maker:
    def make(argument: Any, _: Context) -> Transform:
        if argument is not None:
            raise ValueError("takes no arguments")
        return transform

    return make


def _phone(argument: Any, context: Context) -> Transform:
    region = str(argument or context.defaults.country).upper()

    def read(value: Any) -> str:
        plain = value.__class__ is str and value.isascii() and value.isprintable()  # nearly always: nothing to bring
        return e164(value if plain else _word(value), region)

    return Transform(read, gives=FieldType.PHONE)


def _country(argument: Any, _: Context) -> Transform:
    style = argument or "alpha2"
    if style not in ("alpha2", "alpha3", "name"):
        raise ValueError("writes alpha2, alpha3 or name")
    return Transform(
        lambda value: country_code(_word(value)), lambda code: country_name(code, style), gives=FieldType.COUNTRY
    )


def _state(argument: Any, _: Context) -> Transform:
    style = argument or "code"
    if style not in ("code", "name"):
        raise ValueError("writes code or name")
    return Transform(lambda value: state_code(_word(value)), lambda code: state_name(code, style))


def _date(argument: Any, _: Context) -> Transform:
    if argument is None:
        return Transform(canonical.day, gives=FieldType.DATE)
    if argument == "epoch_ms":
        return Transform(_day_of_epoch, _epoch_of_day)
    formats = [argument] if isinstance(argument, str) else argument
    if not isinstance(formats, list) or not all(isinstance(item, str) and "%" in item for item in formats):
        raise ValueError("takes epoch_ms, or one or more formats like %d.%m.%Y")
    return Transform(
        lambda value: _parse_day(_word(value), formats), lambda day: _in_form(date.fromisoformat(day), formats[0])
    )


def _parse_day(value: str, formats: list[str]) -> str:
    for form in formats:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC).date().isoformat()
        except ValueError:
            continue
    raise Unreadable("invalid_date", "is no date in any of the mapping's formats")


def _in_form(day: date, form: str) -> str:
    """With all four digits of its year, which not every system writes of the first centuries."""
    return day.strftime(form.replace("%Y", f"{day.year:04d}"))


def _day_of_epoch(value: Any) -> str | None:
    """HubSpot's date properties: midnight UTC in epoch milliseconds, or YYYY-MM-DD."""
    word = _word(value)
    if _MILLISECONDS.fullmatch(word):
        return _from_epoch(int(word))[:10]
    return canonical.day(word)


def _epoch_of_day(day: str) -> str:
    return str(int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = re.compile(r"-?\d{1,15}", re.ASCII)
"""Of a field that is kept in them: also few of them, which are a time of 1970."""


def _from_epoch(milliseconds: int) -> str:
    try:
        return stamp(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError as error:
        raise Unreadable("invalid_datetime", "is out of range") from error


def _datetime(argument: Any, context: Context) -> Transform:
    options = {"write": argument} if isinstance(argument, str) else dict(argument or {})
    zone = _zone(options.pop("zone", context.defaults.zone))
    style = options.pop("write", "iso")
    if options or style not in _WRITE_INSTANT:
        raise ValueError(f"takes zone: and write: ({', '.join(_WRITE_INSTANT)})")
    write, is_stamp, counted = _WRITE_INSTANT[style], canonical.STAMP.fullmatch, style == "epoch_ms"

    def read(value: Any) -> str:
        if value.__class__ is str and is_stamp(value):
            return value
        if counted and _MILLISECONDS.fullmatch(word := _word(value)):
            return _from_epoch(int(word))
        return _parse_instant(value, zone)

    return Transform(read, lambda at: write(unstamp(at), zone), gives=FieldType.DATETIME)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


_LATE = re.compile(r"[1-9]\d{3}-\d\d-(?:29|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _parse_instant(told: Any, zone: ZoneInfo) -> str:
    value = _word(told)
    if _LATE.fullmatch(value) and _is_day(value[:10]):
        return value
    if re.fullmatch(r"-?\d{9,10}", value):
        return _from_epoch(int(value) * 1000)
    if re.fullmatch(r"-?\d{12,15}", value):
        return _from_epoch(int(value))
    try:
        at = datetime.fromisoformat(value)
        return stamp(at if at.tzinfo else at.replace(tzinfo=zone))
    except (ValueError, OverflowError) as error:
        raise Unreadable("invalid_datetime", "is no date and time") from error


_WRITE_INSTANT: Mapping[str, Callable[[datetime, ZoneInfo], str]] = {
    "iso": lambda at, zone: stamp(at),
    "epoch_ms": lambda at, zone: str(round(at.timestamp() * 1000)),
    "seconds": lambda at, zone: at.isoformat(timespec="seconds"),
    "salesforce": lambda at, zone: stamp(at)[:-1] + "+0000",
    "local": lambda at, zone: _local(at, zone),
}


def _local(at: datetime, zone: ZoneInfo) -> str:
    try:
        return at.astimezone(zone).replace(tzinfo=None).isoformat(" ", "seconds")
    except OverflowError as error:
        raise Unreadable("invalid_datetime", "is out of the range of its zone's calendar") from error


def _split_name(value: Any) -> tuple[str | None, str | None]:
    """`Ana Maria Ruiz` is Ana Maria + Ruiz; `Ruiz, Ana` is Ana + Ruiz; one word is a last name."""
    name = " ".join(_word(value).split())
    if "," in name:
        last, _, first = (part.strip() for part in name.partition(","))
        return first or None, last or None
    first, _, last = name.rpartition(" ")
    return first or None, last or None


def _join_name(parts: tuple[str | None, str | None]) -> str | None:
    """Without commas: `Ana Ruiz, Jr.` would be read as Jr. Ana Ruiz."""
    return " ".join(" ".join(part for part in parts if part).replace(",", " ").split()) or None


def _values(argument: Any, _: Context) -> Transform:
    if not isinstance(argument, dict) or not isinstance(argument.get("map"), dict) or not argument["map"]:
        raise ValueError("needs map: {remote value: unified value, ...}")
    unknown = set(argument) - {"map", "default", "write", "write_default"}
    if unknown:
        raise ValueError(f"does not know {sorted(unknown)[0]!r}; it takes map, default, write, write_default")
    table = {_key(remote): unified for remote, unified in argument["map"].items()}
    default = argument.get("default", ...)
    back: dict[Any, Any] = {}
    for remote, unified in argument["map"].items():
        back.setdefault(_key(unified), remote)
    back.update({_key(unified): remote for unified, remote in (argument.get("write") or {}).items()})
    otherwise = argument.get("write_default", ...)
    return Transform(lambda value: _looked_up(table, value, default), lambda value: _looked_up(back, value, otherwise))


def _key(value: Any) -> str:
    return str(value).strip().lower()


def _looked_up(table: Mapping[Any, Any], value: Any, default: Any) -> Any:
    found = table.get(_key(value), default)
    if found is ...:
        raise Unreadable("unknown_value", "is not in the mapping's list of values")
    return found


def _multi(argument: Any, _: Context) -> Transform:
    separator = argument if isinstance(argument, str) and argument else ";"
    return Transform(
        lambda value: value if isinstance(value, list) else [part.strip() for part in str(value).split(separator)],
        lambda items: separator.join(items),
    )


def _money(argument: Any, context: Context) -> Transform:
    options = {"currency": argument} if isinstance(argument, str) else dict(argument or {})
    sibling, currency = options.pop("currency_field", ""), options.pop("currency", context.defaults.currency)
    if options or not re.fullmatch(r"[A-Z]{3}", str(currency)):
        raise ValueError("takes currency: EUR, or currency_field: the remote field with the code")
    if not sibling:
        return Transform(lambda value: _amount(value, currency), lambda money: _amount_in(currency, money))
    return Transform(
        lambda pair: _amount(pair[0], pair[1] or currency),
        lambda money: (money["amount"], money["currency"]),
        sibling=str(sibling),
    )


def _amount(value: Any, currency: str) -> dict[str, str] | None:
    return canonical.money({"amount": value, "currency": str(currency).strip().upper()})


def _amount_in(currency: str, money: Mapping[str, str]) -> str:
    """The amount, for a field that holds no currency: written there, one of another currency would change its worth."""
    if money["currency"] != currency:
        raise Unreadable("other_currency", f"is not in {currency}, the only currency that the field can hold")
    return money["amount"]


def _boolean(argument: Any, _: Context) -> Transform:
    if argument is None:
        return Transform(canonical.boolean, gives=FieldType.BOOLEAN)
    if argument == "text":
        return Transform(canonical.boolean, lambda value: "true" if value else "false")
    if isinstance(argument, dict) and set(argument) == {"true", "false"}:
        yes, no = argument["true"], argument["false"]
        known = {_key(yes): True, _key(no): False}

        def read(value: Any) -> bool | None:
            return known[_key(value)] if _key(value) in known else canonical.boolean(value)

        return Transform(read, lambda value: yes if value else no)
    raise ValueError('takes nothing, `text`, or {"true": ..., "false": ...}')


def _owner(argument: Any, context: Context) -> Transform:
    lookup = context.lookup

    def read(value: Any) -> str | None:
        if lookup is not None:
            found = lookup.owner_email(value) or lookup.owner_email(_word(value))  # ids come as they were told
            if found is not None:
                return found
        raise Unreadable("unknown_owner", "is no owner of this account")

    def write(email: str) -> str:
        found = lookup.owner_id(email) if lookup else None
        if found is None:
            raise Unreadable("unknown_owner", "owns nothing in this account: there is no user with this address")
        return found

    return Transform(read, write, gives=FieldType.EMAIL, pure=False)


def _prefix(argument: Any, _: Context) -> Transform:
    if not isinstance(argument, str) or not argument:
        raise ValueError("needs the prefix")
    return Transform(lambda value: _word(value).removeprefix(argument), lambda value: f"{argument}{value}")


def _truncate(argument: Any, _: Context) -> Transform:
    if not isinstance(argument, int) or argument < 1:
        raise ValueError("needs the greatest length")
    return Transform(_same, lambda value: str(value)[:argument].rstrip())


def _default(argument: Any, _: Context) -> Transform:
    if argument is None:
        raise ValueError("needs the value to write where there is none")
    return Transform(lambda value: None if value == argument else value, fills=argument)


def _drop(argument: Any, _: Context) -> Transform:
    """Reads one value as no statement at all: `false` of an opt-out box says nothing."""
    words = {_key(item) for item in (argument if isinstance(argument, list) else [argument])}
    return Transform(lambda value: None if _key(value) in words else value)


TRANSFORMS: Mapping[str, Maker] = {
    "trim": _bare(Transform(canonical.text, gives=FieldType.TEXT)),
    "lower": _bare(Transform(lambda value: _word(value).lower())),
    "upper": _bare(Transform(lambda value: _word(value).upper())),
    "title": _bare(Transform(lambda value: _word(value).title())),
    "collapse": _bare(Transform(lambda value: " ".join(_word(value).split()))),
    "digits": _bare(Transform(lambda value: re.sub(r"\D", "", _word(value)), lossy=True)),
    "email": _bare(Transform(canonical.email, gives=FieldType.EMAIL)),
    "phone": _phone,
    "country": _country,
    "state": _state,
    "date": _date,
    "datetime": _datetime,
    "split_name": _bare(Transform(_split_name, _join_name, parts=2)),
    "values": _values,
    "multi": _multi,
    "money": _money,
    "boolean": _boolean,
    "integer": _bare(Transform(canonical.integer, gives=FieldType.INTEGER)),
    "decimal": _bare(Transform(canonical.decimal, gives=FieldType.DECIMAL)),
    "owner": _owner,
    "prefix": _prefix,
    "truncate": _truncate,
    "default": _default,
    "drop": _drop,
}


def make(spec: str | dict[str, Any], context: Context) -> Transform:
    """The transform that a mapping names. Raises ValueError with words for the user."""
    if isinstance(spec, str):
        name, argument = spec, None
    elif len(spec) == 1:
        [(name, argument)] = spec.items()
    else:
        raise ValueError("a transform is a name, or one name with its arguments")
    if name not in TRANSFORMS:
        raise LookupError(name)
    return TRANSFORMS[name](argument, context)
