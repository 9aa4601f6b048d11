"""The objects as the connector names them, and how LinkedIn's rows become records.

A form response tells answers by question id alone. What a question asked, what its options are called and which
consent was asked for stands in the form, in the version that was answered: only with that version is it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from config.clock import stamp
from config.log import Log
from connectors.api import FieldSchema, Record
from connectors.linkedin.client import Row
from connectors.linkedin.restli import form_version, urn_id

log = Log(__name__)

EMAILS = ("WORK_EMAIL", "EMAIL")
"""Predefined questions for an address, the one for work first: it is the better key to a CRM."""

Forms = Callable[[str, str, str], Row | None]
"""(owner, form, version) -> the form in just that version, where it can be had."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Which checkbox asks for e-mail: its id on every form, or on the forms named (`7/0`)."""

    anywhere: str = ""
    by_form: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Any) -> Consent:
        """From a setting like `0`, or `7234246/0, 7157016/1`."""
        words = [word.strip() for word in str("" if told is None else told).split(",") if word.strip()]
        plain = [word for word in words if "/" not in word]
        named = dict(word.split("/", 1) for word in words if "/" in word)
        return cls(plain[0] if plain else "", named)

    def asked(self, form: str) -> str:
        return self.by_form.get(form, self.anywhere)


def moment(ms: Any) -> str:
    """Milliseconds as a stamp; '' of what is no instant."""
    if not isinstance(ms, int) or isinstance(ms, bool) or not 0 <= ms < 253_402_300_800_000:
        return ""
    return stamp(datetime.fromtimestamp(ms / 1000, UTC))


def localized(told: Any, locale: Any = None) -> str:
    """A text in the form's own language; plain text, or {localized: {es_ES: ...}, preferredLocale: ...}."""
    if not isinstance(told, dict):
        return str(told or "")
    words = told.get("localized")
    if not isinstance(words, dict) or not words:
        return ""
    wish = told.get("preferredLocale") or locale or {}
    named = f"{wish.get('language')}_{wish.get('country')}" if isinstance(wish, dict) else ""
    return str(words.get(named) or next(iter(words.values())))


def metadata(row: Row) -> dict[str, Any]:
    """What a response tells without its form: who, when, where from."""
    form, version = form_version(row.get("versionedLeadGenFormUrn"))
    owner = row.get("owner") if isinstance(row.get("owner"), dict) else {}
    sponsored = (row.get("leadMetadata") or {}).get("sponsoredLeadMetadata") or {}
    return {
        "id": str(row.get("id") or ""),
        "submittedAt": moment(row.get("submittedAt")),
        "testLead": row.get("testLead") is True,
        "leadType": row.get("leadType"),
        "owner": next(iter(owner.values()), None) if owner else None,
        "submitter": row.get("submitter"),
        "formId": form,
        "formVersion": version,
        "formName": (row.get("form") or {}).get("name"),
        "campaign": urn_id(sponsored.get("campaign")) or None,
        "creative": urn_id((row.get("associatedEntity") or {}).get("associatedCreative")) or None,
    }


def submission(row: Row) -> Record:
    """A response as something that a person did."""
    raw = metadata(row)
    return Record(raw["id"], orjson.dumps(raw), raw["submittedAt"])


def lead_reader(forms: Forms, consent: Consent, campaign_name: Callable[[str], str | None]) -> Callable[[Row], Record]:
    """What turns a response into a lead."""

    def read(row: Row) -> Record:
        raw = metadata(row)
        raw["campaignName"] = campaign_name(raw["campaign"]) if raw["campaign"] else None
        form = _form(row, raw, forms)
        if form is None:
            log.warning("lead.form_unknown", form=raw["formId"], version=raw["formVersion"])
        raw |= {"formName": form.get("name"), **_answers(row, form)} if form is not None else {}
        raw |= _consents(row, raw, consent)
        return Record(raw["id"], orjson.dumps(raw), raw["submittedAt"])

    return read


def _form(row: Row, raw: Mapping[str, Any], forms: Forms) -> Row | None:
    """The form that came along, where it is of the version that was answered; else that version, if it is to be had."""
    told = row.get("form")
    if isinstance(told, dict) and isinstance(told.get("content"), dict):
        version = told.get("versionId")
        if version is None or str(version) == raw["formVersion"]:
            return told
    return forms(str(raw["owner"] or ""), raw["formId"], raw["formVersion"])


def _answers(row: Row, form: Row) -> dict[str, Any]:
    """Answers by question id, by predefined field and by the question's name; the hidden fields; the addresses."""
    locale = form.get("creationLocale")
    questions = {str(one.get("questionId")): one for one in (form.get("content") or {}).get("questions") or ()}
    answers: dict[str, str] = {}
    for told in (row.get("formResponse") or {}).get("answers") or ():
        id = str(told.get("questionId"))
        answers[id] = _answer(told.get("answerDetails") or {}, questions.get(id) or {}, locale)
    known = {id: questions[id] for id in answers if id in questions}
    predefined = {str(one["predefinedField"]): answers[id] for id, one in known.items() if one.get("predefinedField")}
    custom = {str(one.get("name")): answers[id] for id, one in known.items() if not one.get("predefinedField")}
    emails = [predefined[name] for name in EMAILS if predefined.get(name)]
    return {
        "answers": answers,
        "predefined": predefined,
        "custom": custom,
        "hidden": {str(one.get("name")): one.get("value") for one in form.get("hiddenFields") or ()},
        "email": emails[0] if emails else None,
        "otherEmails": emails[1:],
    }


def _answer(details: Mapping[str, Any], question: Row, locale: Any) -> str:
    """An answer as text; several chosen options by their labels, with semicolons between."""
    if "multipleChoiceAnswer" not in details:
        return str((details.get("textQuestionAnswer") or {}).get("answer") or "")
    told = ((question.get("questionDetails") or {}).get("multipleChoiceQuestionDetails") or {}).get("options") or ()
    labels = {option.get("id"): localized(option.get("text"), locale) for option in told}
    chosen = (details["multipleChoiceAnswer"] or {}).get("options") or ()
    return "; ".join(labels.get(id) or str(id) for id in chosen)


def _consents(row: Row, raw: Mapping[str, Any], consent: Consent) -> dict[str, Any]:
    """Every checkbox by its id; of the one that asks for e-mail whether, when and on which form it was ticked.

    A box left empty is no opt-out: nothing was asked for, nothing withdrawn.
    """
    told = (row.get("formResponse") or {}).get("consentResponses") or ()
    boxes = {str(one.get("consentId")): one.get("accepted") is True for one in told}
    asked = consent.asked(raw["formId"])
    given = bool(asked) and boxes.get(asked, False)
    proof = f"LinkedIn form {raw['formId']} version {raw['formVersion']}, consent {asked}, response {raw['id']}"
    return {
        "consents": boxes,
        "emailConsent": given or None,
        "emailConsentAt": raw["submittedAt"] if given else None,
        "emailConsentProof": proof if given else None,
    }


def campaign(row: Row) -> Record:
    """A campaign; its amounts are text already."""
    schedule, budget = row.get("runSchedule") or {}, row.get("totalBudget") or {}
    raw: dict[str, Any] = {
        "id": str(row["id"]),
        "name": row.get("name"),
        "status": row.get("status"),
        "type": row.get("type"),
        "startedAt": moment(schedule.get("start")) or None,
        "endedAt": moment(schedule.get("end")) or None,
        "budget": budget.get("amount"),
        "currency": budget.get("currencyCode"),
    }
    modified = ((row.get("changeAuditStamps") or {}).get("lastModified") or {}).get("time")
    return Record(raw["id"], orjson.dumps(raw), moment(modified))


def _schemas(kind: str, names: str, *, writable: bool = False) -> Iterable[FieldSchema]:
    return (FieldSchema(name, kind, writable=writable) for name in names.split())


def _table(*groups: Iterable[FieldSchema]) -> Mapping[str, FieldSchema]:
    return {one.name: one for group in groups for one in group}


_SUBMISSION = (
    *_schemas("text", "id leadType owner submitter formId formVersion formName campaign creative"),
    *_schemas("datetime", "submittedAt"),
    *_schemas("boolean", "testLead"),
)

FIELDS: Mapping[str, Mapping[str, FieldSchema]] = {
    "campaigns": _table(
        _schemas("text", "id name status type currency"),
        _schemas("datetime", "startedAt endedAt"),
        _schemas("number", "budget"),
    ),
    "leads": _table(
        _SUBMISSION,
        _schemas("text", "campaignName emailConsentProof"),
        _schemas("email", "email"),
        _schemas("choices", "otherEmails"),
        _schemas("boolean", "emailConsent"),
        _schemas("datetime", "emailConsentAt"),
    ),
    "submissions": _table(_SUBMISSION),
    "crm_flags": _table(_schemas("text", "id recordId recordType salesforceId hubspotId flag")),
    "crm_profiles": _table(_schemas("text", "id recordId salesforceId hubspotId member profile")),
    "csv_leads": _table(
        _schemas("text", "id first_name last_name title company country linkedin_url"),
        _schemas("email", "email"),
        _schemas("phone", "phone"),
    ),
    "csv_accounts": _table(_schemas("text", "id name website country linkedin_url")),
    "conversions": _table(
        _schemas("text", "event event_id first_name last_name title company country", writable=True),
        _schemas("text", "currency li_fat_id lead external_id consent", writable=True),
        _schemas("email", "email", writable=True),
        _schemas("datetime", "at", writable=True),
        _schemas("number", "amount", writable=True),
    ),
}
OPEN_ENDED: Mapping[str, tuple[str, ...]] = {
    "leads": ("answers.", "predefined.", "custom.", "hidden.", "consents."),
    **dict.fromkeys(("csv_leads", "csv_accounts"), ("",)),  # any column
}
