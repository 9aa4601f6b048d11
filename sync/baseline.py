"""What a record is known to hold, as stored: its values as text, the hash that tells whether they changed, and since
when they count."""

from __future__ import annotations

import orjson
import xxhash

from config.clock import stamp, unstamp
from mappings.model import Values
from sync.core.echo import APART

_OFFSET = 1 << 63


def is_far(version: str, at: str) -> bool:
    """Whether a record's time, read at `at`, is so far ahead that an import or a program must have set it."""
    return version > at and version > stamp(unstamp(at) + APART)


def counts_from(version: str, at: str) -> str:
    """Since when counts what a record of this version says: since it was read at `at`, where its time tells nothing."""
    return version if version and not is_far(version, at) else at


def content_hash(body: bytes) -> int:
    """The signed 64-bit hash of a body, or of a platform's bytes."""
    return xxhash.xxh3_64_intdigest(body) - _OFFSET


def body_bytes(values: Values) -> bytes:
    """The values as stored (text, in UTF-8); equal values give equal bytes."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
