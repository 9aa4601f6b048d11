"""The page of a sandbox that asks for consent, and the codes it gives."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from connectors.sandbox import Answer, Call


@dataclass
class Consents:
    """Somebody who agrees at once, or `denies`. A code works once, for the app and the redirect it was asked with, and
    for who can prove to have asked where there was a challenge; with `proof` there must be one."""

    client_id: str
    proof: bool = False
    denies: bool = False
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def page(self, call: Call) -> Answer:
        asked = dict(call.query)
        whole = asked.get("response_type") == "code" and asked.get("redirect_uri") and asked.get("state")
        proven = asked.get("code_challenge_method") == "S256" or not self.proof
        if asked.get("client_id") != self.client_id or not whole or not proven:
            return Answer(400, b"<h1>This app cannot be connected.</h1>", {"content-type": "text/html"})
        if self.denies:
            return _back(asked, error="access_denied")
        code = f"code-{len(self.codes) + 1}"
        self.codes[code] = asked
        return _back(asked, code=code)

    def redeemed(self, form: Mapping[str, str]) -> bool:
        """Whether the form of a token call has a live code and all that belongs to it; the code is dead from now on."""
        asked = self.codes.get(form.get("code", ""))
        if form.get("grant_type") != "authorization_code" or not asked:
            return False
        self.codes[form["code"]] = {}
        same = all(form.get(name) == asked.get(name) for name in ("client_id", "redirect_uri"))
        return same and _proves(form.get("code_verifier", ""), asked.get("code_challenge", ""))


def _back(asked: Mapping[str, str], **answer: str) -> Answer:
    address = f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state']})}"
    return Answer(302, b"", {"location": address})


def _proves(verifier: str, challenge: str) -> bool:
    if not challenge:
        return not verifier
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)
