"""The quick reading of phone numbers gives what `phonenumbers` gives, or leaves the number to it."""

from __future__ import annotations

import random
from collections.abc import Callable

import phonenumbers
import pytest

from mappings import phones
from mappings.canonical import Unreadable

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


def spellings(number: phonenumbers.PhoneNumber) -> list[str]:
    digits = phonenumbers.national_significant_number(number)
    forms = phonenumbers.PhoneNumberFormat
    return [
        *(phonenumbers.format_number(number, form) for form in (forms.E164, forms.INTERNATIONAL, forms.NATIONAL)),
        f"+{number.country_code} (0) {digits}",
        f"+{number.country_code}{digits[:-1]}",
        f"+{number.country_code}{digits}7",
        f"00{number.country_code} {digits}",
        f"{number.country_code}{digits}",
        digits,
        digits[:-1],
        digits + "7",
        f"0{digits}",
        f"1{digits}",
        f"({digits[:3]}) {digits[3:6]}-{digits[6:]}",
        f"+ {number.country_code} {digits}",
        f"(+{number.country_code}) {digits}",
    ]


def outcome(read: Callable[..., str], *arguments: str) -> str:
    try:
        return read(*arguments)
    except Unreadable as error:
        return error.code


def examples(region: str) -> list[phonenumbers.PhoneNumber]:
    kinds = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    found = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    return [number for number in found if number is not None]


@pytest.mark.parametrize("home", ["", "US", "DE", "IT", "BR", "GB", "AR", "MX", "CA"])
def test_both_readings_agree_on_every_countrys_numbers(home: str) -> None:
    quick = 0
    for region in REGIONS:
        for number in examples(region):
            for written in spellings(number):
                found = phones._quick(written, home)
                quick += bool(found)
                if found:
                    assert found == outcome(phones._careful, written, home), (region, home, written)
    assert quick > 1000


@pytest.mark.parametrize("home", ["US", "DE", "FR", "BR", "RU"])
def test_both_readings_agree_on_digits_at_random(home: str) -> None:
    rng = random.Random(7)
    quick = 0
    for _ in range(4000):
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randrange(6, 16)))
        written = rng.choice(["+", "+1", "+49", "0", "1", ""]) + digits
        found = phones._quick(written, home)
        quick += bool(found)
        if found:
            assert found == outcome(phones._careful, written, home), (home, written)
    assert quick > 300


@pytest.mark.parametrize("home", REGIONS)
def test_both_readings_agree_at_home(home: str) -> None:
    for number in examples(home):
        for written in spellings(number):
            found = phones._quick(written, home)
            assert not found or found == outcome(phones._careful, written, home), written


@pytest.mark.parametrize(
    "written", ["", "+", "+0", "call me", "+1 415 555 0132 ext 5", "٠١٢٣٤٥٦٧٨٩", "tel:+14155550132"]
)
def test_what_is_no_plain_number_is_left_to_the_library(written: str) -> None:
    assert phones._quick(written, "US") == ""
