"""What the sandbox knows of Outreach's resources: attributes, relationships, what may be filtered, sorted, written.

A table line reads `name:kind` with marks behind it: `f` filterable, `s` sortable, `r` read-only. Without a kind it is
text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Attribute:
    kind: str = "string"
    filterable: bool = False
    sortable: bool = False
    read_only: bool = False
    length: int = 255


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource: its path, attributes, to-one relationships (name -> types), and to-many ones (name -> path)."""

    path: str
    attributes: Mapping[str, Attribute]
    one: Mapping[str, tuple[str, ...]]
    many: Mapping[str, str]


_KINDS = {"d": "date-time", "b": "boolean", "i": "integer", "n": "number", "l": "array", "o": "object", "t": "string"}
_LENGTHS = {"firstName": 50, "lastName": 50, "note": 65_535, "custom1": 32_000, "description": 32_000}
"""Names are cut at 50: the description says 255, but longer ones have been refused."""


def _kind(path: str, table: str, one: str = "", many: str = "") -> Kind:
    attributes = {}
    for word in table.split():
        name, kind, marks = re.fullmatch(r"(\w+)(?::([dbinlot]))?(?:/([fsr]+))?", word).groups()  # type: ignore[union-attr]
        flags = marks or ""
        length = _LENGTHS.get(name, 255)
        attributes[name] = Attribute(_KINDS[kind or "t"], "f" in flags, "s" in flags, "r" in flags, length)
    pairs = (word.partition("=")[::2] for word in one.split())
    ones = {name: tuple((types or name).split("|")) for name, types in pairs}
    manys = dict(word.partition("=")[::2] for word in many.split())
    return Kind(path, attributes, ones, manys)


_STAMPS = "createdAt:d/fsr updatedAt:d/fsr"

SCHEMA: Mapping[str, Kind] = {
    "user": _kind("users", f"email/fs firstName/fs lastName/fs name/r username/fs locked:b/fs title {_STAMPS}"),
    "account": _kind(
        "accounts",
        "buyerIntentScore:n/fs companyType custom1 customId/fs description domain/fs externalSource followers:i"
        " foundedAt:d industry linkedInEmployees:i linkedInUrl locality name/fs named:b/fs naturalName"
        f" numberOfEmployees:i tags:l touchedAt:d/fsr websiteUrl {_STAMPS}",
        "owner=user",
    ),
    "stage": _kind("stages", f"name/fs order:i/fs color {_STAMPS}"),
    "opportunityStage": _kind("opportunityStages", f"name/fs order:i/fs color isClosed:b/fs {_STAMPS}"),
    "mailbox": _kind("mailboxes", f"email/fs {_STAMPS}", "user"),
    "prospect": _kind(
        "prospects",
        "addedAt:d addressCity addressCountry addressState addressStreet addressStreet2 addressZip callOptedOut:b"
        " callsOptStatus callsOptedAt:d/r campaignName clickCount:i/r company custom1 emailOptedOut:b emails:l/f"
        " emailsOptStatus emailsOptedAt:d/r engagedAt:d/fsr engagedScore:n/fsr eventName externalId externalOwner"
        " externalSource/fs firstName/fs homePhones:l lastName/fs linkedInUrl mobilePhones:l name/r occupation"
        " openCount:i/r optedOut:b optedOutAt:d/r otherPhones:l replyCount:i/r score:n source tags:l timeZone/f"
        f" timeZoneIana/r title/fs touchedAt:d/fsr trashedAt:d voipPhones:l websiteUrl1 workPhones:l {_STAMPS}",
        "account owner=user persona stage defaultPluginMapping",
        "mailings=mailings sequenceStates=sequenceStates tasks=tasks calls=calls emailAddresses=emailAddresses",
    ),
    "emailAddress": _kind(
        "emailAddresses",
        "bouncedAt:d/r createdAt:d/r email/fs emailType/fs order:i/fs status/fs statusChangedAt:d/fsr"
        " unsubscribedAt:d/fsr updatedAt:d/fsr",
        "prospect",
    ),
    "sequence": _kind(
        "sequences",
        "automationPercentage:n/r bounceCount:i/r clickCount:i/fsr deliverCount:i/fsr description durationInDays:i/r"
        " enabled:b/r enabledAt:d/fsr engagementScore:n/r failureCount:i/r finishOnReply:b interestedCount:i"
        " lastUsedAt:d/fsr locked:b/r lockedAt:d/fsr maxActivations:i name/fs negativeReplyCount:i/r"
        " neutralReplyCount:i/r numContactedProspects:i/r numRepliedProspects:i/r openCount:i/fsr optOutCount:i/r"
        " positiveReplyCount:i/r primaryReplyAction primaryReplyPauseDuration:i replyCount:i/fsr salesMotion/f"
        " scheduleCount:i/r scheduleIntervalType secondaryReplyAction secondaryReplyPauseDuration:i"
        " sequenceStepCount:i/r sequenceType shareType/fs tags:l throttleCapacity:i/fs throttleMaxAddsPerDay:i/fs"
        f" throttlePaused:b throttlePausedAt:d/r transactional:b {_STAMPS}",
        "creator=user owner=user ruleset schedule updater=user",
        "calls=calls mailings=mailings sequenceStates=sequenceStates tasks=tasks"
        " contentCategoryMemberships=contentCategoryMemberships sequenceSteps=sequenceSteps",
    ),
    "sequenceState": _kind(
        "sequenceStates",
        "activeAt:d/r bounceCount:i/r clickCount:i/fsr deliverCount:i/fsr errorReason/r failureCount:i/r"
        " negativeReplyCount:i/r neutralReplyCount:i/r openCount:i/fsr optOutCount:i/r pauseReason/fsr"
        " positiveReplyCount:i/r repliedAt:d/fsr replyCount:i/fsr scheduleCount:i/r state/fsr stateChangedAt:d/fsr"
        f" {_STAMPS}",
        "account creator=user mailbox opportunity prospect sequence sequenceStep user",
        "mailings=mailings",
    ),
    "mailing": _kind(
        "mailings",
        "bodyHtml bodyText/r bouncedAt:d/fsr clickCount:i/r clickedAt:d/fsr deliveredAt:d/fsr errorReason/r"
        " followUpTaskType mailboxAddress/r mailingType/fsr markedAsSpamAt:d/r messageId/fsr openCount:i/r"
        " openedAt:d/fsr overrideSafetySettings:b/r references:l/r repliedAt:d/fsr retryCount:i/r scheduledAt:d/fs"
        f" state/fs stateChangedAt:d/fsr subject trackLinks:b trackOpens:b unsubscribedAt:d/fsr {_STAMPS}",
        "calendar followUpSequence=sequence mailbox opportunity prospect schedule sequence sequenceState sequenceStep"
        " task template user",
        "attachments=attachments recipients=recipients tasks=tasks",
    ),
    "event": _kind(
        "events",
        "body createdAt:d/fsr eventAt:d/fs externalUrl mailingId:i name/f payload:o requestCity/r requestDevice/r"
        " requestHost/r requestProxied:b/r requestRegion/r",
        "account call mailing opportunity plugin prospect task user",
    ),
    "call": _kind(
        "calls",
        "answeredAt:d completedAt:d dialedAt:d direction from/fs note outcome/fs returnedAt:d state/fsr tags:l"
        f" to/fs userCallType/fs {_STAMPS}",
        "opportunity prospect sequence sequenceState task user",
    ),
    "task": _kind(
        "tasks",
        "action autoskipAt:d/fs completed:b/r completedAt:d/r dueAt:d/fs note scheduledAt:d/fsr state/fsr"
        f" stateChangedAt:d/fsr taskType/fsr {_STAMPS}",
        "account owner=user opportunity prospect sequence sequenceState subject=prospect|account|opportunity",
    ),
    "opportunity": _kind(
        "opportunities",
        "amount:i/s amountPrecise/s closeDate:d/s currencyType custom1 customId/fs description externalCreatedAt:d/f"
        " forecastCategory/fs healthCategory/r healthScore:n/r leadSource/fs lostReason/fs mapLink/f mapNextSteps"
        " mapNumberOfOverdueTasks:i mapStatus/fs name/fs nextStep opportunityType probability:i/fs prospectingRepId"
        f" sharingTeamId/f tags:l territoryId touchedAt:d/fsr trashedAt:d {_STAMPS}",
        "account creator=user defaultPluginMapping externalCreator=user opportunityStage owner=user"
        " primaryProspect=prospect stage=opportunityStage territory updater=user",
        "assignedTeams=teams assignedUsers=users favorites=favorites prospects=prospects"
        " opportunityHealthFactors=opportunityHealthFactors opportunityLineItems=opportunityLineItems",
    ),
    "opportunityProspectRole": _kind(
        "opportunityProspectRoles", f"primary:b role/fs {_STAMPS}", "opportunity prospect"
    ),
    "webhook": _kind(
        "webhooks", "action/fs active:b/fs payloadVersion:i resource/fs secret url createdAt:d/r updatedAt:d/r"
    ),
}

BY_PATH: Mapping[str, str] = {kind.path: type for type, kind in SCHEMA.items()}

COUNTED = frozenset(
    "assignedTeams assignedUsers attachments contentCategoryMemberships emailAddresses favorites"
    " opportunityHealthFactors opportunityLineItems recipients sequenceSteps tasks".split()
)
"""To-many relationships that carry (empty) data and a count beside their link."""

BADGE = "<img src=https://developers.outreach.io/badges/readonly.svg>"


def openapi() -> dict[str, Any]:
    """The description of itself, no more of it than the attributes."""
    return {"openapi": "3.0.3", "components": {"schemas": {type: _described(kind) for type, kind in SCHEMA.items()}}}


def _described(kind: Kind) -> dict[str, Any]:
    return {"type": "object", "properties": {name: _property(row) for name, row in kind.attributes.items()}}


def _property(row: Attribute) -> dict[str, Any]:
    told: dict[str, Any] = {"description": BADGE if row.read_only else "", "nullable": True}
    if row.kind == "date-time":
        return {**told, "type": "string", "format": row.kind}
    return {**told, "type": row.kind, **({"maxLength": row.length} if row.kind == "string" else {})}


def blank(type: str) -> dict[str, Any]:
    """The attributes of a new resource: counts at 0, lists empty, the rest null."""
    made: dict[str, Any] = {}
    for name, row in SCHEMA[type].attributes.items():
        counts = row.kind == "integer" and name.endswith("Count")
        made[name] = [] if row.kind == "array" else 0 if counts else False if row.kind == "boolean" else None
    return made
