"""Acme's HTTP: paths, payload shapes and errors; nobody else knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.errors import AuthorizationLost, ClosedloopError, PermissionMissing, RecordRejected, RetryLater
from config.secrets import Secret
from connectors.api import Account, Surroundings
from connectors.rest import Answer, Lane, Platform, Rest
from connectors.retry import asked_wait

HOST = "https://api.acme.example"
PAGE = 100
"""Contacts per call, of the list and of a look-up."""


class _Key:
    """`connectors.rest.Credentials` of a key, which is all there is."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._key.reveal()}"}

    def renew(self) -> bool:
        return False


class Client:
    """One account."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        key = account.auth["key"]
        lanes = {"general": Lane(rate=10, burst=10)}
        platform = Platform("Acme", HOST, classify, lanes)
        self.rest = Rest(platform, account, surroundings, _Key(key if isinstance(key, Secret) else Secret(key)))

    def me(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = self.rest.get("/v1/me").told
        return told

    def fields(self) -> list[Mapping[str, Any]]:
        told: list[Mapping[str, Any]] = self.rest.get("/v1/fields").told["fields"]
        return told

    def contacts(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"contacts": [...], "next": token or null}`, the longest unchanged first, archived ones among them."""
        told: Mapping[str, Any] = self.rest.get("/v1/contacts", {"limit": PAGE, **query}).told
        return told

    def upsert(self, email: str, values: Mapping[str, Any]) -> Answer:
        """The contact with this address, made (201) or changed (200). Asking twice changes nothing more."""
        return self.rest.call("PUT", "/v1/contacts", query={"email": email}, json=values, repeatable=True, writes=True)

    def create(self, values: Mapping[str, Any]) -> Answer:
        """A new contact that nothing identifies: a lost answer is in doubt."""
        return self.rest.call("POST", "/v1/contacts", json=values)

    def update(self, id: str, values: Mapping[str, Any]) -> Answer:
        return self.rest.call("PATCH", f"/v1/contacts/{id}", json=values, repeatable=True, writes=True)

    def remove(self, id: str, *, erase: bool) -> None:
        """Archive the contact, or erase it for good."""
        query = {"erase": "true"} if erase else {}
        self.rest.call("DELETE", f"/v1/contacts/{id}", query=query, repeatable=True, writes=True)


def classify(status: int, headers: Mapping[str, str], told: Any) -> ClosedloopError:
    """A refusal as one of our errors. Acme's message may hold a value of the contact: only its code is repeated."""
    error = told.get("error") if isinstance(told, dict) else None
    detail: Mapping[str, Any] = error if isinstance(error, dict) else {}
    code = str(detail.get("code") or status)
    if status == 401:
        return AuthorizationLost("Acme refuses the key.", fix="Make a new one in Acme's settings.")
    if status == 403:
        return PermissionMissing("Acme's key may not do this.", fix="Give it the permission in Acme's settings.")
    if status == 429:
        return RetryLater("Acme's call limit is reached.", after=asked_wait(headers, 1.0), code="rate_limit")
    if status >= 500:
        return RetryLater(f"Acme answered {status}.", code="server_error")
    return RecordRejected(f"Acme refuses it ({code}).", field=str(detail.get("field") or ""), code=code)
