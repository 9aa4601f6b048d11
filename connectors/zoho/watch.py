"""Notices: a channel that Zoho calls when records change.

A channel lives a week at most, and ends in silence. It is renewed by the pulls, long before that; where that fails the
pulls go on without it, for a notice only ever says earlier what a pull would say.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from config.clock import Clock, stamp, unstamp
from config.errors import AuthorizationLost, ClosedloopError, RecordRejected
from config.log import Log
from config.secrets import Secret
from connectors.api import Account, Notice, Request, Tokens
from connectors.zoho.client import Client, Row
from connectors.zoho.objects import BY_MODULE

KEPT = "channel"
LIFE = timedelta(days=6)
"""Asked for: a longer life than a week silently becomes one hour."""
MODULES = ("Leads", "Contacts", "Accounts", "Deals")
TOKEN = 50
"""Characters of the token that comes back with each notice, at most."""

log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Channel:
    """The account's one channel."""

    account: Account
    client: Client
    tokens: Tokens
    clock: Clock

    @property
    def url(self) -> str:
        return str(self.account.settings.get("notify_url") or "")

    def keep(self) -> None:
        """The channel is open for at least as long as half of what it was given; unless Zoho refuses, which is
        logged."""
        secret = self.account.auth.get("webhook_secret")
        if not self.url or not isinstance(secret, Secret):
            return
        now = self.clock.now()
        kept = orjson.loads(self.tokens.get(KEPT) or "{}")
        if kept.get("url") == self.url and now < unstamp(kept["renew"]):
            return
        try:
            until = self._open(now + LIFE, secret, kept.get("url") == self.url)
        except ClosedloopError as error:
            log.warning(
                "notices.refused", connection=self.account.connection, code=error.code, error=type(error).__name__
            )
            until = now + timedelta(hours=2)  # not at every pull
        self.tokens.put(KEPT, orjson.dumps({"url": self.url, "renew": stamp(now + (until - now) / 2)}).decode())

    def _open(self, until: datetime, secret: Secret, again: bool) -> datetime:
        """When the channel ends, as Zoho says. A channel that is no more is opened anew."""
        channel = {
            "channel_id": channel_id(self.account.connection),
            "notify_url": self.url,
            "token": _token(secret),
            "channel_expiry": f"{until:%Y-%m-%dT%H:%M:%S}+00:00",
            "events": [f"{module}.all" for module in MODULES],
        }
        row = self._asked("PUT", channel) if again else {}
        if row.get("status") != "success":
            row = self._asked("POST", channel)
        if row.get("status") != "success":
            raise RecordRejected("Zoho refuses the channel.", code=str(row.get("code"))[:40])
        events = (row.get("details") or {}).get("events") or ()
        told = [unstamp(str(event["channel_expiry"])) for event in events if event.get("channel_expiry")]
        return min(told, default=until)

    def _asked(self, method: str, channel: Mapping[str, Any]) -> Row:
        try:
            return self.client.watch(method, dict(channel))
        except RecordRejected as error:
            if method == "PUT":
                return {}  # not subscribed (any more)
            raise error


def channel_id(connection: str) -> str:
    """A number that is the same for a connection always: Zoho lets the subscriber choose it."""
    return str(10**12 + int.from_bytes(hashlib.sha256(connection.encode()).digest()[:5], "big"))


def _token(secret: Secret) -> str:
    """The token of the channel: of the secret, so that the secret itself stands in no answer, and short enough."""
    return hashlib.sha256(f"closedloop notices {secret.reveal()}".encode()).hexdigest()[:TOKEN]


def notices(account: Account, request: Request) -> list[Notice]:
    """What a genuine delivery says to read. There is no signature: its token is compared."""
    secret = account.auth.get("webhook_secret")
    if not isinstance(secret, Secret):
        raise AuthorizationLost("Notices need auth.webhook_secret.", connection=account.connection)
    told = orjson.loads(request.body)
    given = str(told.get("token") or "") if isinstance(told, dict) else ""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), _token(secret).encode()):
        raise AuthorizationLost("The notice's token is wrong.", connection=account.connection)
    return list(_told(told))


def _told(told: Row) -> Iterator[Notice]:
    module, ids = str(told.get("module") or ""), told.get("ids")
    object = BY_MODULE.get(module)
    for id in ids if isinstance(ids, list) else ():
        if object is not None:
            yield Notice(object, str(id))
        if module == "Deals":
            yield Notice("contact_roles", str(id))
