"""Phone numbers in E.164.

`phonenumbers` costs as much as everything else of a record together, and most numbers need little of it: their digits
tell the country, nothing has to be taken away, and the length is one the country has. Those are read here, from the
library's own tables; everything else is the library's. Both give the same, a test holds them beside each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from mappings.canonical import Unreadable


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be known of a country's numbers."""

    code: str
    lengths: frozenset[int]
    general: re.Pattern[str]
    prefix: re.Pattern[str] | None  # dialled before a number within the country
    abroad: re.Pattern[str] | None  # dialled before a country's code
    simple: bool  # the prefix is only taken away, never rewritten


def e164(value: str, region: str) -> str:
    """The number in E.164; `region` is the country of those that name none. Raises Unreadable."""
    return _quick(value, region) or _careful(value, region)


def _quick(value: str, region: str) -> str:
    """Empty where the number needs more than this."""
    digits = value.replace(" ", "").replace("-", "").replace("(", "").replace(")", "").replace(".", "")
    if not 8 <= len(digits) <= 16 or not digits.isascii():
        return ""
    if digits[0] == "+" and value[0] == "+":
        return _abroad(digits[1:]) if digits[1:].isdigit() else ""
    plan = _plan_of_region(region)
    if plan is None or not digits.isdigit() or (plan.abroad and plan.abroad.match(digits)):
        return ""
    if not digits.startswith(plan.code):
        return _within(plan, digits)
    rest = digits[len(plan.code) :]
    told = not plan.general.fullmatch(digits) and plan.general.fullmatch(rest)
    return _within(plan, rest) if told and not (plan.prefix and plan.prefix.match(rest)) else ""


def _abroad(digits: str) -> str:
    for length in (1, 2, 3):
        plan = _plan_of_code(digits[:length])
        if plan is not None:
            return _within(plan, digits[length:])
    return ""


def _within(plan: _Plan, digits: str) -> str:
    if plan.prefix is not None:
        dialled = plan.prefix.match(digits)
        if dialled:
            if not plan.simple or plan.general.fullmatch(digits):
                return ""
            digits = digits[dialled.end() :]
    if len(digits) not in plan.lengths or digits[0] == "0":
        return ""
    return f"+{plan.code}{digits}"


@cache
def _plan_of_code(code: str) -> _Plan | None:
    """The plan of a country's calling code; None for what is none, and for those of no country."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code), ()) if code and code[0] != "0" else ()
    return _plan(regions[0]) if regions and regions[0] != "001" else None


@cache
def _plan_of_region(region: str) -> _Plan | None:
    """The plan of a region that is its calling code's main one: the others share its lengths, not its rules."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, country_code_for_region

    code = country_code_for_region(region) if region else 0
    return _plan(region) if code and COUNTRY_CODE_TO_REGION_CODE[code][0] == region else None


@cache
def _plan(region: str) -> _Plan | None:
    from phonenumbers import PhoneMetadata

    facts = PhoneMetadata.metadata_for_region(region, None)
    if facts is None or facts.general_desc is None:
        return None
    prefix, abroad = facts.national_prefix_for_parsing, facts.international_prefix
    return _Plan(
        str(facts.country_code),
        frozenset(facts.general_desc.possible_length),
        re.compile(facts.general_desc.national_number_pattern or ""),
        re.compile(prefix) if prefix else None,
        re.compile(abroad) if abroad else None,
        simple=not facts.national_prefix_transform_rule,
    )


@lru_cache(maxsize=4096)
def _careful(value: str, region: str) -> str:
    import phonenumbers

    try:
        number = phonenumbers.parse(value, region or None)
    except phonenumbers.NumberParseException as error:
        raise Unreadable(
            "invalid_phone", "is no phone number" if region else "is no phone number with a country code"
        ) from error
    if not phonenumbers.is_possible_number(number):
        raise Unreadable("invalid_phone", "is no possible phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
