"""No personal data goes to Google Analytics: every text of every event is looked at before it leaves.

Google forbids it, in any field, and deletes whole properties for it. What is refused here is refused for good and goes
to a person, with the name of the field and never its value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_plus

from config.errors import RecordRejected

_EMAIL = re.compile(r"[^\s@,;:<>]+@[^\s@,;:<>]+\.[^\s@,;:<>]{2,}")
_PHONE = re.compile(r"(?<![\w.])(?:\+|00)?\(?\d(?:[\s().\-/]{0,3}\d){6,14}(?![\w])")
LOCAL, ABROAD = 9, 7
"""Digits from which a number may be a phone number: without and with the sign of a country code before it. A date has
eight."""
PERSON = ("email", "phone", "mobile_phone", "first_name", "last_name")
"""What of the lead the guard may be told, as `person.email` and so on."""


def refuse_personal(texts: Mapping[str, str], ids: Mapping[str, str], person: Mapping[str, str]) -> None:
    """Raises RecordRejected when a text, or an id, by the field's name, holds an e-mail address, a phone number, or
    what is known of the person. In an id digits are no phone number unless it is all of it."""
    known = _known(person)
    for name, text in {**texts, **ids}.items():
        found = _personal(text, known, whole=name in ids)
        if found:
            raise RecordRejected(
                f"This event would carry {found} to Google Analytics.",
                fix="Map another field, or none: an event may hold no personal data.",
                field=name,
                code="personal_data",
            )


def _known(person: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Addresses, digits of numbers, and names, of the person, in the form that texts are compared in."""
    first, last = (_plain(person.get(name, "")) for name in ("first_name", "last_name"))
    numbers = [_digits(person.get(name, "")) for name in ("phone", "mobile_phone")]
    return {
        "email": [_plain(person["email"])] if person.get("email") else [],
        "numbers": [number[-LOCAL:] for number in numbers if len(number) >= ABROAD],
        "names": [name for name in (first, last) if name],
        "both": [f"{first} {last}", f"{last} {first}"] if first and last else [],
    }


def _personal(text: str, known: Mapping[str, Sequence[str]], *, whole: bool) -> str:
    """What personal thing the text holds; '' where none. Percent signs hide nothing."""
    for told in {text, unquote_plus(text)}:
        plain, digits = _plain(told), _digits(told)
        if _EMAIL.search(told) or any(email in plain for email in known["email"]):
            return "an e-mail address"
        if any(number in digits for number in known["numbers"]) or _phone(told, whole=whole):
            return "a phone number"
        if plain in known["names"] or any(f" {name} " in f" {plain} " for name in known["both"]):
            return "a name"
    return ""


def _phone(text: str, *, whole: bool) -> bool:
    for found in _PHONE.finditer(text):
        number = found[0]
        if whole and number != text.strip():
            continue
        least = ABROAD if number.startswith(("+", "00")) else LOCAL
        if len(_digits(number)) >= least:
            return True
    return False


def _plain(text: str) -> str:
    """Without case, accents and needless space."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdigit())
