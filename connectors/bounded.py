"""Answers that end: whatever a platform (or who sits in its place) sends, so much is read of it, for so long.

A body is counted as it is unpacked, so that a small one that unpacks to a large one is cut off too. One packed twice is
not unpacked at all: that alone makes a thousand million bytes of a thousand.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer, unpacked. No page that we ask for comes near it."""
LONGEST = 600.0
"""Seconds from an answer's first byte to its last: one that drips would never break off by a timeout of its reads."""
CODINGS = "gzip, deflate"
"""What is asked for: each unpacks a piece to no more than a thousand times its size."""
_ONE = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class Excess(Exception):
    """The answer is none that can be read to its end."""


def bounded(parts: Iterable[bytes], headers: Mapping[str, str]) -> Iterator[bytes]:
    """The parts, as long as they are few enough and come soon enough. Raises Excess."""
    if str(headers.get("content-encoding") or "").strip().lower() not in _ONE:
        raise Excess("packed in a way that was not asked for")
    size, ends = 0, time.monotonic() + LONGEST
    for part in parts:
        size += len(part)
        if size > LARGEST:
            raise Excess(f"larger than {LARGEST} bytes")
        if time.monotonic() > ends:
            raise Excess(f"not whole within {LONGEST:g} seconds")
        yield part
