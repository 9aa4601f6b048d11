"""The sandbox's forms and their versions, the responses to them, and the notices that go out."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from config.clock import Clock
from connectors.linkedin.sandbox_restli import Row

YEAR = timedelta(days=365)
QUESTIONS = {"FIRST_NAME": "Vorname", "LAST_NAME": "Nachname", "EMAIL": "E-Mail", "JOB_TITLE": "Jobbezeichnung"}
"""The usual form's predefined questions, in the words of its language."""


@dataclass
class Leads:
    """Forms by id, each with all its versions; responses by id.

    `embeds_current`: a response comes with the form as it stands now, not as it was answered.
    """

    clock: Clock
    random: random.Random
    forms: dict[str, list[Row]] = field(default_factory=dict)
    responses: dict[str, Row] = field(default_factory=dict)
    hooks: dict[str, Row] = field(default_factory=dict)
    deliveries: list[Row] = field(default_factory=list)
    next_form: int = 7_000_000
    embeds_current: bool = False

    def ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    # forms

    def form(self, owner: str, name: str, questions: Sequence[Row], hidden: Mapping[str, str], consents: int) -> str:
        """A new form in its first version; its id. A question is {name, predefined?, options?}."""
        self.next_form += 1
        id = str(self.next_form)
        self.forms[id] = []
        self.revise(id, owner, name, questions, hidden, consents)
        return id

    def revise(
        self, id: str, owner: str, name: str, questions: Sequence[Row], hidden: Mapping[str, str], consents: int
    ) -> None:
        """A further version of a form. Its questions get ids of their own."""
        version = len(self.forms[id]) + 1
        asked = [_question(int(f"{10 * version + n}{id}"), told) for n, told in enumerate(questions, 1)]
        boxes = [{"id": n, "checkRequired": False, "consent": _german(f"Einwilligung {n}")} for n in range(consents)]
        legal = {
            "legalInfoId": int(f"{version}00{id}"),
            "privacyPolicyUrl": "https://example.com/privacy",
            "legalDisclaimer": _german("Hinweis"),
            "consents": boxes,
        }
        kind = "sponsoredAccount" if ":sponsoredAccount:" in owner else "organization"
        end = {"callToAction": {"callToActionLabel": "VISIT_COMPANY_WEBSITE", "callToActionTarget": _landing()}}
        self.forms[id].append(
            {
                "id": int(id),
                "versionId": version,
                "name": name,
                "state": "PUBLISHED",
                "owner": {kind: owner},
                "created": self.ms(),
                "lastModified": self.ms(),
                "creationLocale": {"country": "DE", "language": "de"},
                "reviewInfo": {"rejectionReasons": [], "lastUpdated": self.ms(), "reviewStatus": "APPROVED"},
                "hiddenFields": [{"name": n, "value": value} for n, value in hidden.items()],
                "content": {
                    "questions": asked,
                    "headline": _german("Angebot"),
                    "description": _german("Beschreibung"),
                    "postSubmissionInfo": {"message": _german("Danke"), **end},
                    "legalInfo": legal,
                },
            }
        )

    # responses

    def submit(self, form: str, answers: Mapping[str, Any], consents: Sequence[bool], more: Row) -> str:
        """A person answers the form's present version; `answers` by predefined field or by the question's name, a
        choice by the numbers of its options."""
        told = self.forms[form][-1]
        id = f"{self.random.getrandbits(64):016x}-{len(self.responses) % 10}"
        given = [
            {"questionId": one["questionId"], "answerDetails": _details(value)}
            for one in told["content"]["questions"]
            if (value := answers.get(one.get("predefinedField") or one["name"])) is not None
        ]
        boxes = [{"consentId": n, "accepted": accepted} for n, accepted in enumerate(consents)]
        urn = f"urn:li:versionedLeadGenForm:(urn:li:leadGenForm:{form},{told['versionId']})"
        row = {
            "id": id,
            "submittedAt": self.ms(),
            "testLead": False,
            "leadType": "SPONSORED",
            "owner": told["owner"],
            "submitter": f"urn:li:person:{self.random.getrandbits(40):010x}",
            "versionedLeadGenFormUrn": urn,
            "formResponse": {"answers": given, "consentResponses": boxes},
            **more,
        }
        self.responses[id] = row
        self._notify(row, "CREATED")
        return id

    def erase(self, id: str) -> None:
        """The person has their data deleted: the response is gone, and hooks are told."""
        self._notify(self.responses.pop(id), "DELETED")

    def shown(self, row: Row) -> Row:
        """A response with its form."""
        form, version = row["versionedLeadGenFormUrn"].rstrip(")").rpartition(":")[2].split(",")
        versions = self.forms[form]
        return {**row, "form": versions[-1 if self.embeds_current else int(version) - 1]}

    def readable(self, row: Row) -> bool:
        """For a year."""
        return bool(row["submittedAt"] >= self.ms() - YEAR.total_seconds() * 1000)

    def listed(self, owner: Row, lead_type: str, times: Row, *, test_only: bool) -> list[Row]:
        """The responses of one owner and lead type within the times, the oldest first."""
        first, last = int(times.get("start") or 0), int(times.get("end") or 2**53)
        return [
            self.shown(row)
            for row in sorted(self.responses.values(), key=lambda row: (row["submittedAt"], row["id"]))
            if row["owner"] == owner
            and row["leadType"] == lead_type
            and first <= row["submittedAt"] <= last
            and (row["testLead"] or not test_only)
            and self.readable(row)
        ]

    # notices

    def _notify(self, row: Row, action: str) -> None:
        for id, hook in self.hooks.items():
            if hook["owner"] != row["owner"] or hook["leadType"] != row["leadType"] or hook["state"] != "valid":
                continue
            body = {
                "type": "LEAD_ACTION",
                "leadGenFormResponse": f"urn:li:leadGenFormResponse:{row['id']}",
                "leadGenForm": row["versionedLeadGenFormUrn"].partition("(")[2].partition(",")[0],
                "leadType": row["leadType"],
                "leadAction": action,
                "owner": row["owner"],
                "associatedEntity": row.get("associatedEntity") or {},
                "occurredAt": self.ms(),
            }
            self.deliveries.append({"hook": id, "body": orjson.dumps(body).decode()})


def signed(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), b"hmacsha256=" + body, hashlib.sha256).hexdigest()


def _german(text: str) -> Row:
    return {"localized": {"de_DE": text}}


def _landing() -> Row:
    return {"landingPageUrl": "https://example.com/danke"}


def _question(id: int, told: Row) -> Row:
    options = [{"id": n, "text": _german(label)} for n, label in enumerate(told.get("options") or ())]
    details = (
        {"multipleChoiceQuestionDetails": {"options": options}}
        if options
        else {"textQuestionDetails": {"maxResponseLength": 300}}
    )
    predefined = {"predefinedField": told["predefined"]} if told.get("predefined") else {}
    asked = {"questionId": id, "name": told["name"], "question": _german(told["name"]), "questionDetails": details}
    return {**asked, **predefined, "responseEditable": True, "responseRequired": True}


def _details(value: Any) -> Row:
    if isinstance(value, list | tuple):
        return {"multipleChoiceAnswer": {"options": list(value)}}
    return {"textQuestionAnswer": {"answer": str(value)}}
