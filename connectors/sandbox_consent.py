"""The page of a sandbox that asks for consent, and the codes it gives: what the platforms' log-ins have in common.

What differs is told to `Consents` as a value, or is the platform's own (`sandbox_login.py`): who is given a token for a
code, and how a refusal is worded.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from html import escape
from urllib.parse import urlencode, urlsplit

from config.clock import Clock, stamp
from connectors.sandbox import Answer, Call

LOCALHOST = ("http://localhost:8719/callback",)
"""Where the sandboxes' apps may be called back at: the address that people are told to register."""
LOOPBACK = ("http://127.0.0.1:8719/callback",)
"""The same, on platforms that take no name."""
_HOSTS = ("127.0.0.1", "localhost")


class Proof(StrEnum):
    """What a platform makes of a proof of possession (RFC 7636)."""

    DEMANDED = "demanded"  # no code without a challenge
    TAKEN = "taken"  # a code that was asked for with a challenge wants its verifier
    IGNORED = "ignored"  # the platform knows no such thing


@dataclass
class Consents:
    """Somebody who agrees at once to all scopes but those `withheld`, or `denies`.

    A code works once and for `life`, for the app and the address it was asked with, and for who can prove to have asked
    where there was a challenge. `apps` are the members of `auth:` that name an app, by the mode of log-in. An address
    that is not among the `registered` ones is told on the page and never gone to; with `any_port` every address on
    loopback is registered. `offered` are the scopes that may be asked for, all where it is empty. `more` is what the
    platform adds to its answer. `ends` makes all access tokens run out.
    """

    clock: Clock
    apps: Mapping[str, Mapping[str, str]]
    ends: Callable[[], None]
    registered: list[str] = field(default_factory=lambda: list(LOCALHOST))
    any_port: bool = False
    proof: Proof = Proof.IGNORED
    separator: str = " "
    offered: frozenset[str] = frozenset()
    unoffered: str = "invalid_scope"
    denial: str = "access_denied"
    more: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
    life: timedelta = timedelta(minutes=10)
    denies: bool = False
    withheld: set[str] = field(default_factory=set)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def page(self, call: Call) -> Answer:
        """What the browser is answered: it is sent back with a code or a word, or shown why not."""
        asked = dict(call.query)
        if asked.get("client_id") not in {app["client_id"] for app in self.apps.values()}:
            return _shown("There is no app of this client_id.")
        if not self._is_registered(asked.get("redirect_uri", "")):
            return _shown(f"redirect_uri {asked.get('redirect_uri', '')!r} is not registered at this app.")
        if error := self._wrong(asked):
            return _back(asked, {"error": error})
        code = f"code-{len(self.codes) + 1}"
        scopes = [scope for scope in self._scopes(asked) if scope not in self.withheld]
        ends = stamp(self.clock.now() + self.life)
        self.codes[code] = {**asked, "scope": self.separator.join(scopes), "ends": ends}
        return _back(asked, {"code": code, **self.more(self.codes[code])})

    def _is_registered(self, address: str) -> bool:
        place = urlsplit(address)
        return address in self.registered or (self.any_port and place.scheme == "http" and place.hostname in _HOSTS)

    def _wrong(self, asked: Mapping[str, str]) -> str:
        """The word that the browser is sent back with; "" for none."""
        if asked.get("response_type") != "code":
            return "unsupported_response_type"
        if self.proof is not Proof.IGNORED and asked.get("code_challenge_method", "S256") != "S256":
            return "invalid_request"
        if self.proof is Proof.DEMANDED and not asked.get("code_challenge"):
            return "invalid_request"
        if self.offered and not self.offered.issuperset(self._scopes(asked)):
            return self.unoffered
        return self.denial if self.denies else ""

    def _scopes(self, asked: Mapping[str, str]) -> list[str]:
        return [scope for scope in asked.get("scope", "").split(self.separator) if scope]

    def redeemed(self, form: Mapping[str, str]) -> Mapping[str, str] | None:
        """What was asked, with the `scope` that was granted, where the form of a token call has a live code and all
        that belongs to it. The code is dead from now on."""
        asked = self.codes.get(form.get("code", ""))
        if form.get("grant_type") != "authorization_code" or not asked:
            return None
        self.codes[form["code"]] = {}
        same = all(form.get(name) == asked.get(name) for name in ("client_id", "redirect_uri"))
        lives = asked["ends"] > stamp(self.clock.now())
        return asked if same and lives and self._proves(form, asked) else None

    def _proves(self, form: Mapping[str, str], asked: Mapping[str, str]) -> bool:
        verifier, challenge = form.get("code_verifier", ""), asked.get("code_challenge", "")
        if self.proof is Proof.IGNORED:
            return True
        if not challenge:
            return not verifier
        made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        return hmac.compare_digest(made, challenge)


def _shown(why: str) -> Answer:
    page = f"<!doctype html><title>Sandbox</title><h1>This app cannot be connected.</h1><p>{escape(why)}</p>"
    return Answer(400, page.encode(), {"content-type": "text/html; charset=utf-8"})


def _back(asked: Mapping[str, str], answer: Mapping[str, str]) -> Answer:
    state = {"state": asked["state"]} if "state" in asked else {}
    joint = "&" if "?" in asked["redirect_uri"] else "?"
    return Answer(302, b"", {"location": f"{asked['redirect_uri']}{joint}{urlencode({**answer, **state})}"})
