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
    """Whether a record's time, read at `at`, is so far ahead that an import or a program must have set it: by
    its platform's clock, where that is known."""
    return version > at and version > stamp(unstamp(at) + APART)


def counts_from(version: str, at: str, there: str) -> str:
    """Since when counts what a record of this version says: since it was read, where its time tells nothing: by our
    clock (`at`) where it has none, by its platform's (`there`) where that is far ahead, as all others there have it."""
    if not version:
        return at
    return there if is_far(version, there) else version


def content_hash(body: bytes) -> int:
    """The signed 64-bit hash of a body, or of a platform's bytes."""
    return xxhash.xxh3_64_intdigest(body) - _OFFSET


def body_bytes(values: Values) -> bytes:
    """The values as stored (text, in UTF-8); equal values give equal bytes."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
