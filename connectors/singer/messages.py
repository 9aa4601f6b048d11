"""Singer's messages, one JSON object a line. A record's own bytes are kept as they came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson


class Message(msgspec.Struct, frozen=True):
    """Any message; a member that its type has not is empty."""

    type: str
    stream: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    schema: dict[str, Any] = {}
    key_properties: list[str] | None = None
    bookmark_properties: list[str] | None = None
    value: dict[str, Any] | None = None
    version: int | float | None = None


KNOWN = ("SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION")

_decode = msgspec.json.Decoder(Message).decode


def read(lines: Iterator[bytes]) -> Iterator[Message]:
    """The messages of a tap's output. Raises ValueError where a line is none; it does not show it."""
    for line in lines:
        if not line.strip():
            continue
        try:
            yield _decode(line)
        except (msgspec.MsgspecError, RecursionError):
            yield _leniently(line)


def _leniently(line: bytes) -> Message:
    """What Python writes and JSON has not: NaN and the infinities, taken for blanks."""
    try:
        return _decode(orjson.dumps(json.loads(line)))
    except (ValueError, TypeError, msgspec.MsgspecError, RecursionError):
        raise ValueError("no Singer message") from None
