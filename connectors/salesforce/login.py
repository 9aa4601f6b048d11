"""Getting an access token: JWT bearer, client credentials, refresh token, password (legacy) or a given session."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson
import requests

from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, RetryLater
from config.secrets import Secret
from connectors.api import Account, Surroundings
from connectors.retry import is_of_certificate
from connectors.salesforce.errors import not_https, of_login

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = 180
"""Seconds; the platform takes at most 300."""
SOAP_VERSION = "64.0"
"""SOAP login() does not exist from API 65 on, and retires on 1 June 2027."""
ACCESS, INSTANCE, REFRESH = "access_token", "instance_url", "refresh_token"
"""Names under which the tokens are kept."""
HOSTS = re.compile(r"([a-z0-9-]+\.){1,6}((salesforce|force|cloudforce)\.(com|mil)|sfcrmproducts\.cn)", re.IGNORECASE)
"""Where orgs live."""
FIRST = "first_refresh_token"
"""Where the refresh token is kept that a rotated one goes back to: one that a person replaced since wins again."""
SCOPE = "scope"
"""The name under which the scopes of the last log-in are kept."""


@dataclass(frozen=True, slots=True)
class Grant:
    """An open session: the token, the org's host, the user it belongs to ('' when unknown)."""

    token: Secret
    instance_url: str
    user: str = ""


class Login:
    """Knows how to open a session for one account, and keeps it in `surroundings.tokens`."""

    def __init__(self, account: Account, surroundings: Surroundings, session: requests.Session) -> None:
        self._account = account
        self._surroundings = surroundings
        self._session = session
        self.mode = self._plain("mode") or _guess(account)
        self.calls = 0

    def kept(self) -> Grant | None:
        """The session kept from before, or the given one."""
        if self.mode == "session":
            return Grant(Secret(self._need("access_token")), self._instance(self._need("instance_url")))
        tokens = self._surroundings.tokens
        token, instance = tokens.get(ACCESS), tokens.get(INSTANCE)
        if not token or not instance:
            return None
        url, _, user = instance.partition(" ")
        return Grant(Secret(token), self._instance(url), user)

    def scopes(self) -> frozenset[str]:
        """The scopes of the last log-in; empty where it does not tell (a given session, SOAP)."""
        if self.mode == "session" or self._is_soap():
            return frozenset()
        return frozenset((self._surroundings.tokens.get(SCOPE) or "").split())

    def fresh(self, refused: str = "") -> Grant:
        """A new session, kept for later. Raises AuthorizationLost, RetryLater or Misconfigured.

        A refresh token may work once: of several processes one renews and the others take what it got, unless that is
        the session that was `refused`.
        """
        if self.mode != "refresh_token":
            return self._renewed()
        with self._surroundings.tokens.alone(REFRESH):
            kept = self.kept()
            return kept if kept and kept.token.reveal() != refused else self._renewed()

    def _renewed(self) -> Grant:
        if self.mode == "session":
            fix = "Give a new access token, or use another mode of auth: they renew themselves."
            raise AuthorizationLost("The given session is over.", fix=fix, connection=self._account.connection)
        grant = self._soap() if self._is_soap() else self._oauth()
        self._surroundings.tokens.put(ACCESS, grant.token.reveal())
        self._surroundings.tokens.put(INSTANCE, f"{grant.instance_url} {grant.user}".strip())
        return grant

    def _is_soap(self) -> bool:
        return self.mode == "password" and not self._plain("client_id")

    def _oauth(self) -> Grant:
        url = f"{self._host()}/services/oauth2/token"
        body = self._form()
        self.calls += 1
        try:
            answer = self._session.post(url, data=body, headers={"Accept": "application/json"})
        except requests.RequestException as error:
            if isinstance(error, requests.exceptions.SSLError) and is_of_certificate(error):
                raise certificate(self._account.connection) from error
            what = f"Salesforce's log-in cannot be reached ({type(error).__name__})."
            raise RetryLater(what, after=2.0, connection=self._account.connection) from error
        return self._granted(_decoded(answer.content), answer.status_code)

    def _granted(self, body: Any, status: int) -> Grant:
        if status != 200 or not isinstance(body, dict) or "access_token" not in body:
            raise of_login(body, status, self._account.connection)
        if body.get("refresh_token"):
            self._surroundings.tokens.put(FIRST, self._plain("refresh_token"))
            self._surroundings.tokens.put(REFRESH, str(body["refresh_token"]))
        self._surroundings.tokens.put(SCOPE, str(body.get("scope") or ""))
        user = str(body.get("id") or "").rpartition("/")[2]
        instance = self._told(str(body.get("instance_url") or self._host()))
        return Grant(Secret(str(body["access_token"])), instance, user)

    def _form(self) -> dict[str, str]:
        if self.mode == "jwt":
            return {"grant_type": JWT_GRANT, "assertion": self._assertion()}
        form = {"grant_type": self.mode, "client_id": self._need("client_id")}
        if self._plain("client_secret"):
            form["client_secret"] = self._need("client_secret")
        if self.mode == "refresh_token":
            form["refresh_token"] = self._rotated() or self._need("refresh_token")
        if self.mode == "password":
            token = self._plain("security_token")
            form |= {"username": self._need("username"), "password": self._need("password") + token}
        return form

    def _rotated(self) -> str | None:
        tokens = self._surroundings.tokens
        return tokens.get(REFRESH) if tokens.get(FIRST) in (None, self._need("refresh_token")) else None

    def _assertion(self) -> str:
        audience = self._plain("audience") or _audience(self._host())
        claims = {
            "iss": self._need("client_id"),
            "sub": self._need("username"),
            "aud": audience,
            "exp": int(self._surroundings.clock.now().timestamp()) + ASSERTION_LIFE,
        }
        try:
            return jwt.encode(claims, self._need("private_key"), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            fix = "private_key takes an RSA key in PEM form; give it as file:PATH."
            raise Misconfigured(
                "The private key cannot be read.", fix=fix, connection=self._account.connection
            ) from error

    def _soap(self) -> Grant:
        """The SDK's own SOAP log-in."""
        from simple_salesforce.exceptions import SalesforceAuthenticationFailed
        from simple_salesforce.login import SalesforceLogin

        self.calls += 1
        try:
            token, host = SalesforceLogin(
                username=self._need("username"),
                password=self._need("password"),
                security_token=self._plain("security_token"),
                sf_version=SOAP_VERSION,
                session=self._session,
                domain="login",
                scratch_url=self._host(),
            )
        except SalesforceAuthenticationFailed as error:
            what = f"Salesforce refuses the log-in: {error.code}."
            fix = "SOAP log-in is off in new orgs and ends on 1 June 2027: use jwt or client_credentials."
            raise AuthorizationLost(what, fix=fix, connection=self._account.connection) from error
        except requests.RequestException as error:
            what = f"Salesforce's log-in cannot be reached ({type(error).__name__})."
            raise RetryLater(what, after=2.0, connection=self._account.connection) from error
        return Grant(Secret(str(token)), self._told(f"https://{host}"))

    # where

    def _host(self) -> str:
        """Where to log in: the sandbox or proxy, else the configured host, else the platform's."""
        url = self._account.base_url or self._plain("login_url") or "https://login.salesforce.com"
        url = url if "://" in url else f"https://{url}"
        return self._secure(url).rstrip("/")

    def _instance(self, url: str) -> str:
        return self._secure(self._account.base_url or url).rstrip("/")

    def _told(self, url: str) -> str:
        """The org's host as a log-in tells it: the token goes nowhere but to Salesforce, or whom we logged in at."""
        host = urlsplit(url).netloc
        if not (self._account.base_url or HOSTS.fullmatch(host) or host == urlsplit(self._host()).netloc):
            raise Misconfigured(
                "The log-in names a host that is not Salesforce's; nothing was sent there.",
                fix="Check auth.login_url.",
                connection=self._account.connection,
            )
        return self._instance(url)

    def _secure(self, url: str) -> str:
        if urlsplit(url).scheme != "https":
            raise not_https(self._account.connection)
        return url

    def _plain(self, name: str) -> str:
        value = self._account.auth.get(name, "")
        return value.reveal() if isinstance(value, Secret) else str(value or "")

    def _need(self, name: str) -> str:
        value = self._plain(name)
        if not value:
            fix = f"Write auth: {name}: env:NAME in the project file."
            raise Misconfigured(f"auth lacks {name} (mode {self.mode}).", fix=fix, connection=self._account.connection)
        return value


def certificate(connection: str) -> ClosedloopError:
    """The error of a certificate that nobody vouches for."""
    fix = "Set ca_file to the proxy's authority, or correct base_url; certificates are always checked."
    return Misconfigured("The TLS certificate of Salesforce's host is not trusted.", fix=fix, connection=connection)


def _guess(account: Account) -> str:
    """The mode that the given members speak of."""
    for member, mode in (
        ("private_key", "jwt"),
        ("refresh_token", "refresh_token"),
        ("password", "password"),
        ("access_token", "session"),
    ):
        if member in account.auth:
            return mode
    return "client_credentials"


def _audience(host: str) -> str:
    """Sandbox orgs are known by `test.` or `--name.sandbox.` in their host."""
    is_test = re.search(r"//test\.|\.sandbox\.", host) is not None
    return "https://test.salesforce.com" if is_test else "https://login.salesforce.com"


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
