"""How the sandbox lets in: OAuth token endpoint, SOAP log-in, sessions that die."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jwt

from connectors.sandbox import Answer, Call
from connectors.sandbox_consent import Consents, Proof

if TYPE_CHECKING:
    from connectors.salesforce.sandbox import SalesforceSandbox

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
CLIENT, CLIENT_SECRET, USERNAME = "sandbox-client", "sandbox-client-secret", "sync@example.com"
PASSWORD, REFRESH = "sandbox-password", "sandbox-refresh"
SOAP_LAST = 64
"""The last API version with SOAP login()."""


def refuse(status: int, code: str, message: str, **more: Any) -> Answer:
    """The platform's error body of a single call."""
    return Answer.of([{"message": message, "errorCode": code, **more}], status)


class Login:
    """Token endpoint and sessions. `sessions` maps a token to the calls it has served."""

    def __init__(self, sandbox: SalesforceSandbox) -> None:
        self.sandbox = sandbox
        self.sessions: dict[str, int] = {}
        self.given = 0
        self.approved = True  # the JWT user may use the app
        self.rotates = False  # a refresh token is good once
        self.refresh = REFRESH
        app = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}
        self.consents = Consents(sandbox.clock, {"refresh_token": app}, self.sessions.clear, proof=Proof.TAKEN)

    def route(self) -> None:
        self.sandbox.on("GET", "/services/oauth2/authorize", self.consents.page)
        self.sandbox.on("POST", "/services/oauth2/token", self.token)
        self.sandbox.on("POST", "/services/Soap/u/{version}", self.soap)

    @cached_property
    def key(self) -> Any:
        """The key pair of the JWT app; made once, on demand."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def auth(self, mode: str) -> dict[str, str]:
        """The `auth:` block for a log-in of `mode`."""
        client = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}
        if mode == "client_credentials":
            return {"mode": mode, **client}
        if mode == "refresh_token":
            return {"mode": mode, **client, "refresh_token": self.refresh}
        if mode == "password":
            return {"mode": mode, **client, "username": USERNAME, "password": PASSWORD}
        if mode == "session":
            return {"mode": mode, "access_token": self.new_session(), "instance_url": self.sandbox.base_url}
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {"mode": "jwt", "client_id": CLIENT, "username": USERNAME, "private_key": pem}

    def new_session(self) -> str:
        self.given += 1
        token = f"{self.sandbox.org[:15]}!AQ{self.given:06d}.sandbox"
        self.sessions[token] = 0
        return token

    def refuse_session(self, call: Call) -> Answer | None:
        """401 unless the call carries a live token."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme not in ("Bearer", "OAuth") or not token:
            return refuse(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        if token not in self.sessions:
            return refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self.sessions[token] += 1
        if self.sandbox.session_calls and self.sessions[token] > self.sandbox.session_calls:
            del self.sessions[token]
            return refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return None

    def token(self, call: Call) -> Answer:
        form = call.form
        grant = form.get("grant_type", "")
        if grant == JWT_GRANT:
            return self._by_jwt(form.get("assertion", ""))
        if grant not in ("client_credentials", "refresh_token", "password", "authorization_code"):
            return _no("unsupported_grant_type", "grant type not supported")
        if form.get("client_id") != CLIENT:
            return _no("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != CLIENT_SECRET:
            return _no("invalid_client", "invalid client credentials")
        if grant == "password" and (form.get("username"), form.get("password")) != (USERNAME, PASSWORD):
            return _no("invalid_grant", "authentication failure")
        if grant == "refresh_token" and form.get("refresh_token") != self.refresh:
            return _no("invalid_grant", "expired access/refresh token")
        if grant == "authorization_code":
            return self._for_code(form)
        more = {}
        if grant == "refresh_token" and self.rotates:
            self.refresh = f"{REFRESH}-{self.given + 1}"
            more["refresh_token"] = self.refresh
        return self._grant(**more)

    def _for_code(self, form: Mapping[str, str]) -> Answer:
        """A refresh token comes only where its scope was asked for."""
        asked = self.consents.redeemed(form)
        if asked is None:
            return _no("invalid_grant", "expired authorization code")
        lasting = {"refresh_token", "offline_access", "full"} & set(asked["scope"].split())
        return self._grant(scope=asked["scope"], **({"refresh_token": self.refresh} if lasting else {}))

    def _by_jwt(self, assertion: str) -> Answer:
        now = self.sandbox.clock.now().timestamp()
        try:
            claims = jwt.decode(
                assertion,
                self.key.public_key(),
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            return _no("invalid_grant", "invalid assertion")
        if claims.get("iss") != CLIENT:
            return _no("invalid_client_id", "client identifier invalid")
        if claims.get("aud") not in (*AUDIENCES, self.sandbox.base_url):
            return _no("invalid_grant", "audience is invalid")
        if not now - 30 <= float(claims.get("exp", 0)) <= now + 300:
            return _no("invalid_grant", "invalid assertion")
        if claims.get("sub") != USERNAME or not self.approved:
            return _no("invalid_grant", "user hasn't approved this consumer")
        return self._grant()

    def _grant(self, **more: str) -> Answer:
        url = self.sandbox.base_url
        return Answer.of(
            {
                "access_token": self.new_session(),
                "scope": "api",
                "instance_url": url,
                "id": f"{url}/id/{self.sandbox.org}/{self.sandbox.store.user}",
                "token_type": "Bearer",
                "issued_at": str(int(self.sandbox.clock.now().timestamp() * 1000)),
                "signature": "c2FuZGJveA==",
                **more,
            }
        )

    def soap(self, call: Call, version: str) -> Answer:
        kind = {"content-type": "text/xml; charset=UTF-8"}
        body = call.body.decode()
        if float(version) > SOAP_LAST or not self.sandbox.soap_login or f"{PASSWORD}<" not in body:
            text = "INVALID_LOGIN: Invalid username, password, security token; or user locked out."
            fault = (
                f"<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode><sf:exceptionMessage>{text}</sf:exceptionMessage>"
            )
            return Answer(500, f'<e:Envelope xmlns:e="e" xmlns:sf="sf">{fault}</e:Envelope>'.encode(), kind)
        inner = f"<sessionId>{self.new_session()}</sessionId>"
        inner += f"<serverUrl>{self.sandbox.base_url}/services/Soap/u/{version}/00D</serverUrl>"
        return Answer(200, f"<Envelope>{inner}</Envelope>".encode(), kind)


def _no(error: str, description: str) -> Answer:
    return Answer.of({"error": error, "error_description": description}, 400)


__all__ = ["Login", "refuse"]
