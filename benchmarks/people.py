"""The contacts that the benchmark's server serves: made from a seed, so that every run and every contestant sees the
same bytes.

25 mapped properties and three of HubSpot's own, about 0.9 KB of JSON a contact, a third of the properties blank,
e-mails in upper case and padded, eleven ways to write a phone number, names beyond ASCII.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

SEED = 20260901
FIRST_ID = 100_001
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
BEFORE = datetime(2026, 9, 1, tzinfo=UTC)
"""Every contact was last modified before this; what the server changes during a run comes after."""

OWNERS = {str(70_000 + n): f"owner{n}@closedloop.example" for n in range(40)}

_FIRST = "Ana Zoë José Łukasz Søren Mary James Wei 美咲 Олена Amélie Jürgen Priya Mohammed Chloé Ines Françoise".split()
_LAST = "García Müller Smith O'Neill Nguyễn Kowalski Østergaard 佐藤 Иванова Johnson Brown Cruz Dubois Lee".split()
_TITLES = ["Head of Marketing", "CEO", "Sales Manager", "VP Revenue", "Ingénieur", "Account Executive", "CTO", "Buyer"]
_WORDS = "Acme Globex Initech Umbrella Hooli Vehement Massive Stark Wayne Wonka Cyberdyne Soylent Tyrell".split()
_ENDS = ["Inc", "GmbH", "Ltd", "S.A.", "LLC", "AG", "BV"]
_INDUSTRIES = ["COMPUTER_SOFTWARE", "BANKING", "RETAIL", "HOSPITAL_HEALTH_CARE", "LOGISTICS_AND_SUPPLY_CHAIN"]
_STREETS = ["Main Street", "Calle de Alcalá", "Hauptstraße", "Rue de Rivoli", "King Street", "Elm Avenue"]
_PLACES = [
    ("Springfield", "Illinois", "62701", "United States"),
    ("San José", "CA", "95112", "US"),
    ("München", "Bayern", "80331", "Germany"),
    ("Madrid", "Madrid", "28001", "Spain"),
    ("Paris", "Île-de-France", "75001", "FR"),
    ("London", "England", "EC1A 1BB", "United Kingdom"),
    ("Austin", "Texas", "73301", "USA"),
    ("Kraków", "Małopolskie", "30-001", "Poland"),
]
_LANGUAGES = ["en", "de", "es", "fr", "pl", "ja"]
_SOURCES = [
    "ORGANIC_SEARCH",
    "PAID_SEARCH",
    "DIRECT_TRAFFIC",
    "EMAIL_MARKETING",
    "SOCIAL_MEDIA",
    "REFERRALS",
    "OFFLINE",
]
_STATUS = ["NEW", "OPEN", "IN_PROGRESS", "CONNECTED", "BAD_TIMING"]
_STAGES = ["subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer"]

PROPERTIES = (
    "email salutation firstname lastname jobtitle company website industry phone mobilephone address city state zip "
    "country hs_language hubspot_owner_id createdate hs_analytics_source hs_analytics_source_data_1 hs_latest_source "
    "hs_analytics_first_url hs_lead_status lifecyclestage hs_email_optout"
).split()


def instant(at: datetime) -> str:
    """HubSpot's way to write an instant."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def contacts(number: int) -> Iterator[dict[str, Any]]:
    """`number` contacts as HubSpot's list tells them."""
    rng = random.Random(SEED)  # the same people every time
    for n in range(number):
        yield _contact(FIRST_ID + n, rng)


def _contact(id: int, rng: random.Random) -> dict[str, Any]:
    created = BEGAN + timedelta(milliseconds=rng.randrange(60_000_000_000))
    modified = created + (BEFORE - created) * rng.random()
    properties = {
        **_properties(id, rng),
        "createdate": instant(created),
        "lastmodifieddate": instant(modified),
        "hs_object_id": str(id),
        "hs_merged_object_ids": None,
    }
    return {
        "id": str(id),
        "properties": dict(sorted(properties.items())),  # as HubSpot has them
        "createdAt": instant(created),
        "updatedAt": instant(modified),
        "archived": False,
    }


def _properties(id: int, rng: random.Random) -> dict[str, Any]:
    pick, chance = rng.choice, rng.random

    def some(share: float, value: Any) -> Any:
        return value if chance() < share else None

    first, last, company = pick(_FIRST), pick(_LAST), f"{pick(_WORDS)} {pick(_ENDS)}"
    city, state, code, country = pick(_PLACES)
    return {
        "email": _email(id, rng),
        "salutation": some(0.3, pick(["Ms", "Mr", "Dr"])),
        "firstname": some(0.95, first),
        "lastname": some(0.97, f" {last}" if chance() < 0.05 else last),
        "jobtitle": some(0.7, pick(_TITLES)),
        "company": some(0.9, company),
        "website": some(0.6, f"https://www.{company.split()[0].lower()}{id % 997}.example"),
        "industry": some(0.5, pick(_INDUSTRIES)),
        "phone": some(0.95, _phone(rng)),
        "mobilephone": some(0.25, _phone(rng)),
        "address": some(0.6, f"{rng.randrange(1, 999)} {pick(_STREETS)}"),
        "city": some(0.8, city),
        "state": some(0.7, state),
        "zip": some(0.7, code),
        "country": some(0.85, country),
        "hs_language": some(0.5, pick(_LANGUAGES)),
        "hubspot_owner_id": some(0.6, pick(tuple(OWNERS))),
        "hs_analytics_source": some(0.95, pick(_SOURCES)),
        "hs_analytics_source_data_1": some(0.7, f"campaign {rng.randrange(300)}"),
        "hs_latest_source": some(0.8, pick(_SOURCES)),
        "hs_analytics_first_url": some(0.6, f"https://closedloop.example/landing/{rng.randrange(50)}?utm_source=x"),
        "hs_lead_status": some(0.6, pick(_STATUS)),
        "lifecyclestage": some(0.97, pick(_STAGES)),
        "hs_email_optout": some(0.4, pick(["false", "false", "true"])),
    }


def _email(id: int, rng: random.Random) -> str:
    plain = f"person{id}@{rng.choice(_WORDS).lower()}{rng.randrange(2000)}.example"
    style = rng.random()
    if style < 0.10:
        return plain.upper()
    if style < 0.15:
        return f"  {plain} "
    return plain.capitalize() if style < 0.25 else plain


def _phone(rng: random.Random) -> str:
    area, middle, end = rng.randrange(201, 980), rng.randrange(200, 999), rng.randrange(10_000)
    rest = f"{rng.randrange(10_000_000, 99_999_999)}"
    spellings = (
        f"+1{area}{middle}{end:04d}",
        f"+1 {area} {middle} {end:04d}",
        f"+1 ({area}) {middle}-{end:04d}",
        f"({area}) {middle}-{end:04d}",
        f"{area}-{middle}-{end:04d}",
        f"{area}.{middle}.{end:04d}",
        f"1-{area}-{middle}-{end:04d}",
        f"+49 30 {rest}",
        f"+44 20 {rest[:4]} {rest[4:]}",
        f"+34 6{rest[:2]} {rest[2:5]} {rest[5:]}",
        f"+49 (0)89 {rest}",
    )
    return rng.choice(spellings)
