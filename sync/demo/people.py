"""Believable people, campaigns and habits for the sandboxes, all decided by one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.clock import stamp

_FIRST = (
    "Ana Lukas Sofía Jonas Chiara Mateusz Zoë Émile Ingrid Yuki Omar Priya Liam Noah Olivia Emma Hannah "
    "Leon Marie Björn Katarzyna João Lucía Nils Aylin Mehmet Nadia Tomáš Eva Piotr Giulia Hugo Camille "
    "Aoife Seán Astrid Freya Mia Paul "
).split()
_LAST = (
    "Müller García Rossi Kowalski Novák Dubois Jensen Svensson O'Brien Tanaka Khan Sharma Smith Jones "
    "Williams Schmidt Weber Fischer Lopez Moreau Bianchi Nowak Hansen Andersen Virtanen Silva Santos "
    "Yılmaz Peeters Jansen Meyer Wagner "
).split()
_COMPANY = (
    "Nordlicht Brightwater Quercus Altamira Bluefin Kestrel Morgenstern Halcyon Vantage Copperfield "
    "Lumen Tidewater Silverbirch Ironbridge Fairwind Sommer Papaya Granit Meridian Oakline "
).split()
_KIND = ("GmbH", "Ltd", "S.A.", "Inc", "AB", "SpA", "BV", "Labs", "Group", "Logistics", "Foods", "Systems")
_TITLE = (
    ("Chief Marketing Officer", 4),
    ("Head of Operations", 7),
    ("VP Sales", 5),
    ("Director IT", 7),
    ("Marketing Manager", 18),
    ("Buyer", 14),
    ("Analyst", 16),
    ("Assistant", 10),
    ("Student", 4),
    ("", 15),
)
_COUNTRY = (
    ("DE", "+4930"),
    ("ES", "+3491"),
    ("FR", "+331"),
    ("GB", "+4420"),
    ("US", "+1212"),
    ("IT", "+3906"),
    ("PL", "+4822"),
)
CHANNELS = (
    ("ORGANIC_SEARCH", 30),
    ("PAID_SEARCH", 20),
    ("EMAIL_MARKETING", 12),
    ("SOCIAL_MEDIA", 14),
    ("REFERRALS", 9),
    ("DIRECT_TRAFFIC", 15),
)
CAMPAIGNS = (
    ("Autumn webinar: closing the loop", "PAID_SEARCH", 4200),
    ("Field guide to lead quality", "EMAIL_MARKETING", 900),
    ("Trade fair Hannover", "REFERRALS", 11800),
    ("Always-on search", "PAID_SEARCH", 9600),
    ("Social spotlight", "SOCIAL_MEDIA", 3100),
)
PAGES = ("/pricing", "/product/sync", "/customers", "/blog/why-leads-go-cold", "/compare", "/docs/start")
LOST = ("price", "no budget", "went with a competitor", "no answer", "wrong timing")


@dataclass
class Person:
    """One person, and what they did: (type, when, title, url)."""

    email: str
    first: str
    last: str
    title: str
    company: str
    country: str
    phone: str
    channel: str
    campaign: str
    born: datetime
    heat: float
    acts: list[tuple[str, datetime, str, str]] = field(default_factory=list)


def pick(rng: random.Random, weighed: Sequence[tuple[str, int]]) -> str:
    names, weights = zip(*weighed, strict=True)
    return str(rng.choices(names, weights)[0])


def people(rng: random.Random, number: int, now: datetime) -> list[Person]:
    """`number` people who came in over the last half year; the hotter, the more they did."""
    return [_person(rng, n, now) for n in range(number)]


def _person(rng: random.Random, number: int, now: datetime) -> Person:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    company = f"{rng.choice(_COMPANY)} {rng.choice(_KIND)}"
    domain = "".join(letter for letter in company.lower() if letter.isascii() and letter.isalnum()) + ".example"
    plain = "".join(
        letter for letter in f"{first}.{last}".lower() if letter.isascii() and (letter.isalnum() or letter == ".")
    )
    country, prefix = rng.choice(_COUNTRY)
    channel = pick(rng, CHANNELS)
    campaigns = [name for name, of, _ in CAMPAIGNS if of == channel]
    person = Person(
        email=f"{plain}{number}@{domain}",
        first=first,
        last=last,
        title=pick(rng, _TITLE),
        company=company,
        country=country,
        phone=_phone(rng, country, prefix) if rng.random() < 0.6 else "",
        channel=channel,
        campaign=rng.choice(campaigns) if campaigns else "",
        born=now - timedelta(days=rng.uniform(2, 180)),
        heat=rng.random() ** 2,
    )
    person.acts = _acts(rng, person, now)
    return person


def _phone(rng: random.Random, country: str, prefix: str) -> str:
    digits = {"FR": 8, "GB": 8}.get(country, 7)
    return prefix + str(rng.randrange(2 * 10 ** (digits - 1), 10**digits))


def _acts(rng: random.Random, person: Person, now: datetime) -> list[tuple[str, datetime, str, str]]:
    found = []
    days = (now - person.born).days or 1
    for _ in range(int(person.heat * 9)):
        at = person.born + timedelta(days=rng.uniform(0, days), minutes=rng.uniform(1, 600))
        page = rng.choice(PAGES)
        found.append(("e_visited_page", min(at, now), page, f"https://example.com{page}"))
    if person.heat > 0.55 and rng.random() < 0.75:
        at = person.born + timedelta(days=rng.uniform(0, days))
        found.append(("e_form_submission_v2", min(at, now), "Contact us", "https://example.com/contact"))
    return found


def written(at: datetime) -> str:
    """An instant as the sandboxes take it."""
    return stamp(at)
