"""Whose certificates are believed: those of the file that an account names, or those that httpx believes by itself."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import httpx

_NAMED = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What httpx heeds of the environment."""


def trust(ca_file: str = "") -> ssl.SSLContext:
    """The context of a client. All clients that trust the same files, as they stand now, have one in common: reading
    a hundred and forty certificates takes some 20 ms, and a run opens every connection anew."""
    named = [os.environ.get(name, "") for name in _NAMED]
    return _read(ca_file, *named, _stands(ca_file or named[0] or named[1]))


@lru_cache(maxsize=8)
def _read(ca_file: str, named_file: str, named_folder: str, stands: tuple[int, ...]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()


def _stands(path: str) -> tuple[int, ...]:
    """What tells that a file or folder was changed; nothing where there is none, which is told by whoever reads it."""
    if not path:
        return ()
    try:
        told = Path(path).stat()
    except OSError:
        return ()
    return told.st_ino, told.st_mtime_ns, told.st_size
