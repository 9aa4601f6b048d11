"""Countries and states: names and codes both ways.

Country names come from the Unicode CLDR through babel, in the languages that forms are mostly filled in; states are
those of the United States, Canada and Australia, where platforms insist on codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from mappings.canonical import Unreadable

_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "sv", "da", "nb", "fi", "cs", "tr", "ja", "zh")
_COMMON = {"uk": "GB", "usa": "US", "u.s.a.": "US", "u.s.": "US", "england": "GB", "scotland": "GB", "wales": "GB"}
_COMMON |= {"great britain": "GB", "holland": "NL", "korea": "KR", "czech republic": "CZ", "türkiye": "TR"}
_COMMON |= {"united states of america": "US", "the netherlands": "NL", "uae": "AE", "brasil": "BR"}

_STATE_TABLE = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa
KS Kansas|KY Kentucky|LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi
MO Missouri|MT Montana|NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York
NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island
SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia|WA Washington
WV West Virginia|WI Wisconsin|WY Wyoming
AB Alberta|BC British Columbia|MB Manitoba|NB New Brunswick|NL Newfoundland and Labrador|NS Nova Scotia
ON Ontario|PE Prince Edward Island|QC Quebec|SK Saskatchewan
NSW New South Wales|QLD Queensland|SA South Australia|TAS Tasmania|VIC Victoria
"""
_STATE_NAMES = dict(pair.split(" ", 1) for line in _STATE_TABLE.strip().split("\n") for pair in line.split("|"))
_STATES: Mapping[str, str] = {name.lower(): code for code, name in _STATE_NAMES.items()}

_ALPHA3 = (
    "AE=ARE AR=ARG AT=AUT AU=AUS BE=BEL BG=BGR BR=BRA CA=CAN CH=CHE CL=CHL CN=CHN CO=COL CY=CYP CZ=CZE DE=DEU DK=DNK "
    "EE=EST EG=EGY ES=ESP FI=FIN FR=FRA GB=GBR GR=GRC HK=HKG HR=HRV HU=HUN ID=IDN IE=IRL IL=ISR IN=IND IS=ISL IT=ITA "
    "JP=JPN KR=KOR LT=LTU LU=LUX LV=LVA MT=MLT MX=MEX MY=MYS NG=NGA NL=NLD NO=NOR NZ=NZL PE=PER PH=PHL PL=POL PT=PRT "
    "RO=ROU RS=SRB RU=RUS SA=SAU SE=SWE SG=SGP SI=SVN SK=SVK TH=THA TR=TUR TW=TWN UA=UKR US=USA UY=URY VN=VNM ZA=ZAF"
)
_TO_ALPHA3 = dict(pair.split("=") for pair in _ALPHA3.split())
_FROM_ALPHA3 = {three: two for two, three in _TO_ALPHA3.items()}


@cache
def _english() -> Mapping[str, str]:
    """Tried before the other languages are loaded, which takes long."""
    return {**_names_in("en"), **_COMMON}


@cache
def _names() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for language in _LANGUAGES:
        found = {**_names_in(language), **found}
    return {**found, **_COMMON}


def _names_in(language: str) -> dict[str, str]:
    from babel import Locale

    names = Locale(language).territories.items()
    return {name.casefold(): code for code, name in names if len(code) == 2 and code.isalpha()}


@cache
def _codes() -> frozenset[str]:
    return frozenset(_english().values())


def country_code(value: str) -> str | None:
    """The alpha-2 code of a country's code or name. Raises Unreadable."""
    if not value:
        return None
    word = value.strip()
    if len(word) == 2 and word.isascii() and word.isalpha() and word.casefold() not in _COMMON:
        if word.upper() not in _codes():
            raise Unreadable("unknown_country", "is no country")
        return word.upper()
    found = _FROM_ALPHA3.get(word.upper()) or _english().get(word.casefold()) or _names().get(word.casefold())
    if found is None:
        raise Unreadable("unknown_country", "is no country")
    return found


def country_name(code: str, style: str) -> str:
    """The country in the style that a platform wants. Raises Unreadable where there is none."""
    if style == "alpha2":
        return code
    if style == "alpha3":
        if code not in _TO_ALPHA3:
            raise Unreadable("unknown_country", "has no three-letter code here")
        return _TO_ALPHA3[code]
    from babel import Locale

    name: str | None = Locale("en").territories.get(code)
    if name is None:
        raise Unreadable("unknown_country", "is no country")
    return name


def state_code(value: str) -> str | None:
    """The code of a state where it is known; other regions stay as they are written."""
    return _STATES.get(value.casefold(), value.upper() if value.upper() in _STATE_NAMES else value) or None


def state_name(code: str, style: str) -> str:
    """The state in the style that a platform wants."""
    return _STATE_NAMES.get(code, code) if style == "name" else code
