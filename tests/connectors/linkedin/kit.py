"""What the tests of LinkedIn share: opening, people, what came back."""

from __future__ import annotations

from typing import Any

import orjson

from config.clock import ManualClock
from config.secrets import Secret
from connectors.api import Connector
from connectors.linkedin.sandbox import LinkedInSandbox
from tests.connectors.surroundings import connect

FIELDS = ["id", "email", "predefined.FIRST_NAME", "submittedAt", "testLead"]
ANA = {"FIRST_NAME": "Ana", "LAST_NAME": "Ruiz", "EMAIL": "ana@x.example", "JOB_TITLE": "Chief"}


def opened(linkedin: LinkedInSandbox, clock: ManualClock, *, renewed: bool = False, **settings: Any) -> Connector:
    told = linkedin.renewed() if renewed else linkedin.account()["auth"]
    secret = ("access_token", "refresh_token", "client_secret")
    auth = {name: Secret(value) if name in secret else value for name, value in told.items()}
    return connect(linkedin, clock, auth=auth, **settings)


def person(number: int) -> dict[str, str]:
    return {"FIRST_NAME": f"P{number}", "LAST_NAME": "X", "EMAIL": f"p{number}@x.example"}


def raws(records: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in records]
