"""The sandbox's log-in: a user's refresh tokens, which never change, and a service account's signed assertions.

A consent gives a refresh token only where it was asked for (`access_type=offline`), and to a user who agreed before
only where the question was to be asked again (`prompt=consent`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import jwt
import orjson

from config.clock import Clock, stamp
from connectors.google_analytics.login import AUDIENCE, EDIT, INGEST, JWT_GRANT, READ
from connectors.sandbox import Answer
from connectors.sandbox_consent import Consents, Proof

LIFE = 3599
APP = {"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"}
REFRESH = "sandbox-refresh"
EMAIL = "sync@sandbox.iam.gserviceaccount.example"


@dataclass
class Login:
    """Access tokens, each with the end of its life and its scopes. `scopes` is what the user allowed; `withdrawn` ends
    the refresh token."""

    clock: Clock
    random: random.Random
    scopes: str = f"{READ} {EDIT} {INGEST}"
    withdrawn: bool = False
    access: dict[str, list[str]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)  # token -> the scopes that were allowed with it
    consents: Consents = field(init=False)

    def __post_init__(self) -> None:
        # a desktop app may be called back at any port of loopback
        self.consents = Consents(
            self.clock,
            {"oauth": APP},
            lambda: self.access.clear(),
            any_port=True,
            proof=Proof.TAKEN,
            offered=frozenset((READ, EDIT, INGEST)),
            more=lambda granted: {"scope": granted["scope"], "authuser": "0", "prompt": "consent"},
        )

    @cached_property
    def key(self) -> Any:
        """The key pair of the service account; made once, on demand."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key_file(self) -> str:
        """The key file as the console gives it."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        told = {"type": "service_account", "client_email": EMAIL, "private_key_id": "k1", "private_key": pem}
        return orjson.dumps(told).decode()

    def opens(self, token: str) -> bool:
        return self.access.get(token, [""])[0] > stamp(self.clock.now())

    def allows(self, token: str, scope: str) -> bool:
        return scope in self.access[token][1].split()

    def grant(self, form: Mapping[str, str]) -> Answer:
        if form.get("grant_type") == JWT_GRANT:
            return self._by_assertion(form.get("assertion", ""))
        if form.get("client_id") != APP["client_id"]:
            return _no("invalid_client", "The OAuth client was not found.", 401)
        if form.get("client_secret") != APP["client_secret"]:
            return _no("invalid_client", "Unauthorized", 401)
        if form.get("grant_type") == "authorization_code":
            return self._for_code(form)
        scopes = {REFRESH: self.scopes, **self.refresh}.get(form.get("refresh_token", ""))
        if scopes is None or self.withdrawn:
            return _no("invalid_grant", "Token has been expired or revoked.")
        return self._granted(scopes)

    def _for_code(self, form: Mapping[str, str]) -> Answer:
        asked = self.consents.redeemed(form)
        if asked is None:
            return _no("invalid_grant", "Bad Request")
        lasting = asked.get("access_type") == "offline" and (not self.refresh or asked.get("prompt") == "consent")
        if not lasting:
            return self._granted(asked["scope"])
        token = f"1//sandbox-{self.random.getrandbits(64):016x}"
        self.refresh[token] = asked["scope"]
        return self._granted(asked["scope"], refresh_token=token)

    def _by_assertion(self, assertion: str) -> Answer:
        now = self.clock.now().timestamp()
        try:
            public = self.key.public_key()
            claims = jwt.decode(
                assertion,
                public,
                algorithms=["RS256"],
                audience=AUDIENCE,
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            return _no("invalid_grant", "Invalid JWT Signature.")
        if claims.get("iss") != EMAIL:
            return _no("invalid_grant", "Invalid grant: account not found")
        if not now - 300 <= float(claims.get("iat", 0)) <= float(claims.get("exp", 0)) <= now + 3900:
            return _no("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
        return self._granted(str(claims.get("scope", "")))

    def _granted(self, scopes: str, **more: str) -> Answer:
        token = f"access-{self.random.getrandbits(64):016x}"
        self.access[token] = [stamp(self.clock.now() + timedelta(seconds=LIFE)), scopes]
        told = {"access_token": token, "expires_in": LIFE, "scope": scopes, "token_type": "Bearer"}
        return Answer.of({**told, **more})


def _no(error: str, description: str, status: int = 400) -> Answer:
    return Answer.of({"error": error, "error_description": description}, status)
