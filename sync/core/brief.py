"""The hand-off brief: what a salesperson should know before the first call, in plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync.core.views import ActivityView

LINES = 20
"""How many of the latest activities a brief tells one by one."""

_WORDS = {
    "form": "sent the form",
    "email_sent": "was sent",
    "email_open": "opened",
    "email_click": "clicked in",
    "email_bounce": "did not receive",
    "email_unsubscribe": "unsubscribed from",
    "page": "viewed",
    "meeting": "meeting:",
    "call": "had a call",
    "event": "took part in",
    "note": "was noted",
    "campaign_response": "answered the campaign",
    "task": "has the task",
}


def title(lead: Mapping[str, Any]) -> str:
    """The subject line."""
    return f"Qualified lead: {_name(lead)}"


def write(lead: Mapping[str, Any], why: Sequence[str], activities: Sequence[ActivityView]) -> str:
    """The story of the lead: who, why qualified, where from, what they did (latest first)."""
    parts = [_who(lead), "Why qualified:\n" + "\n".join(f"- {line}" for line in why), _origin(lead)]
    if activities:
        latest = sorted(activities, key=lambda activity: (activity.at, activity.type), reverse=True)
        lines = [_line(activity) for activity in latest[:LINES]]
        if len(latest) > LINES:
            lines.append(f"- and {len(latest) - LINES} more before that")
        parts.append("What they did:\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part)


def _name(lead: Mapping[str, Any]) -> str:
    full = " ".join(part for part in (lead.get("first_name"), lead.get("last_name")) if part)
    company = lead.get("company")
    name = full or lead.get("email") or "unknown"
    return f"{name} ({company})" if company else str(name)


def _who(lead: Mapping[str, Any]) -> str:
    facts = [lead.get("title"), lead.get("email"), lead.get("phone"), lead.get("country")]
    return "\n".join([_name(lead), " · ".join(str(fact) for fact in facts if fact)]).strip()


def _origin(lead: Mapping[str, Any]) -> str:
    pairs = [
        ("First contact", lead.get("first_contact_at") or (lead.get("created_at") or "")[:10]),
        ("Source", lead.get("original_source")),
        ("Campaign", lead.get("original_campaign") or lead.get("utm_campaign")),
        ("E-mail consent", lead.get("email_consent")),
    ]
    return "\n".join(f"{label}: {value}" for label, value in pairs if value)


def _line(activity: ActivityView) -> str:
    when = activity.at[:16].replace("T", " ")
    what = _WORDS.get(activity.type, activity.type)
    return f"- {when} {what} {activity.title or activity.url or activity.campaign}".rstrip()
