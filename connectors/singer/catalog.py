"""The catalog: what a tap offers, and the part of it that is wanted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from connectors.singer.choices import StreamChoice

Entry = dict[str, Any]
"""One stream of a catalog."""


def entries(told: Any) -> list[Entry]:
    """The streams of what `--discover` printed. Raises ValueError where it is no catalog."""
    streams = told.get("streams") if isinstance(told, dict) else None
    if not isinstance(streams, list) or not all(isinstance(one, dict) and name(one) for one in streams):
        raise ValueError("no Singer catalog")
    return streams


def name(entry: Entry) -> str:
    """The stream's name as its messages say it."""
    return str(entry.get("stream") or entry.get("tap_stream_id") or "")


def find(streams: Sequence[Entry], wanted: str) -> Entry | None:
    """The entry of that name or of that id."""
    return next((one for one in streams if wanted in (name(one), one.get("tap_stream_id"))), None)


def selected(streams: Sequence[Entry], choice: StreamChoice) -> dict[str, Any]:
    """The catalog with the chosen stream, and those it needs beside it, switched on, and all others off.

    In every way that taps look for: the metadata of today, the flags of the first taps.
    """
    wanted = {choice.stream, *choice.beside}
    told = []
    for entry in copy.deepcopy(list(streams)):
        on = bool(wanted & {name(entry), str(entry.get("tap_stream_id"))})
        entry["selected"] = on
        if isinstance(entry.get("schema"), dict):
            entry["schema"]["selected"] = on
        entry["metadata"] = _metadata(entry, on)
        if on and choice.stream in (name(entry), entry.get("tap_stream_id")):
            _replicate(entry, choice)
        told.append(entry)
    return {"streams": told}


def _metadata(entry: Entry, on: bool) -> list[dict[str, Any]]:
    told = [one for one in entry.get("metadata") or () if isinstance(one, dict)]
    if not any(one.get("breadcrumb") == [] for one in told):
        told.insert(0, {"breadcrumb": [], "metadata": {}})
    for one in told:
        facts = one.get("metadata")
        one["metadata"] = {**(facts if isinstance(facts, dict) else {}), "selected": on}
        if one["metadata"].get("inclusion") == "unsupported":
            one["metadata"]["selected"] = False
    return told


def _replicate(entry: Entry, choice: StreamChoice) -> None:
    """The replication that the settings ask for, where they do."""
    if not choice.method:
        return
    facts = next(one["metadata"] for one in entry["metadata"] if one.get("breadcrumb") == [])
    entry["replication_method"] = facts["replication-method"] = choice.method
    if choice.method == "INCREMENTAL" and choice.changed:
        entry["replication_key"] = facts["replication-key"] = choice.changed
