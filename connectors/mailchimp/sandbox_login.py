"""The sandbox's log-in: API keys, and an app's tokens, which neither run out nor are renewed and know no scopes."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.clock import Clock
from connectors.sandbox import Answer
from connectors.sandbox_consent import LOOPBACK, Consents

KEY = "0123456789abcdef0123456789abcdef-us19"
CENTRE = KEY.rpartition("-")[2]
APP = {"client_id": "200100200100", "client_secret": "sandbox-app-secret"}


@dataclass
class Login:
    """What opens the account: the key, and the `tokens` of consents, until somebody takes the app's access away."""

    clock: Clock
    random: random.Random
    tokens: list[str] = field(default_factory=list)
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        self.consents = Consents(self.clock, {"oauth": APP}, lambda: self.tokens.clear(), list(LOOPBACK))

    def opens(self, header: str) -> bool:
        scheme, _, told = header.partition(" ")
        if scheme == "Basic":
            return told == base64.b64encode(f"closedloop:{KEY}".encode()).decode()
        return scheme == "Bearer" and told in (KEY, *self.tokens)

    def grant(self, form: Mapping[str, str]) -> Answer:
        """A token for a code; `expires_in` 0 says that it does not run out."""
        if any(form.get(name) != value for name, value in APP.items()):
            return _no("invalid_client", "The client credentials are invalid")
        if form.get("grant_type") != "authorization_code":
            return _no("unsupported_grant_type", "Unsupported grant type")
        if self.consents.redeemed(form) is None:
            return _no("invalid_grant", "Authorization code doesn't exist or is invalid for the client")
        token = f"{self.random.getrandbits(128):032x}"
        self.tokens.append(token)
        return Answer.of({"access_token": token, "expires_in": 0, "scope": None})

    def metadata(self, header: str, api: str) -> Answer:
        """Where the account of a token lives. The scheme is OAuth, here and nowhere else."""
        scheme, _, token = header.partition(" ")
        if scheme != "OAuth" or token not in self.tokens:
            return _no("invalid_token", "The access token is invalid", 401)
        login = {"email": "owner@example.com", "avatar": None, "login_id": 123, "login_name": "owner@example.com"}
        told = {"dc": CENTRE, "role": "owner", "accountname": "Sandbox", "user_id": 8_900_001, "login": login}
        return Answer.of({**told, "login_url": "https://login.mailchimp.com", "api_endpoint": api})


def _no(error: str, description: str, status: int = 400) -> Answer:
    return Answer.of({"error": error, "error_description": description}, status)
