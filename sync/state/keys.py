"""The keys of a state: where they lie, and how a new one comes there.

They come from CLOSEDLOOP_KEY, else from a file `closedloop.key` beside the project file, else from the keyring (service
closedloop, user state-key); where there is none, such a file is made, for its owner alone. Each place holds one key or
several, apart by spaces, commas or lines: the first encrypts, all of them open.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from config.errors import Misconfigured
from sync.state import files

VARIABLE = "CLOSEDLOOP_KEY"
KEY_FILE = "closedloop.key"
KEYRING = ("closedloop", "state-key")
_BETWEEN = re.compile(rb"[\s,]+")
MAKE = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class Place(StrEnum):
    """Where keys lie, in words for a person."""

    ENVIRONMENT = VARIABLE
    FILE = KEY_FILE
    KEYRING = "the keyring"


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of one place, at least one; the first encrypts."""

    place: Place
    keys: tuple[bytes, ...] = field(repr=False)

    def box(self) -> MultiFernet:
        """What encrypts under the first key and opens with each. Raises Misconfigured when one of them is no key."""
        return MultiFernet([self._fernet(key) for key in self.keys])

    def first(self) -> Fernet:
        """What opens only that which lies under the first key."""
        return self._fernet(self.keys[0])

    def led_by(self, key: bytes) -> Ring:
        """The same with a new key before all others."""
        return replace(self, keys=(key, *self.keys))

    def alone(self) -> Ring:
        """The first key and no other."""
        return replace(self, keys=self.keys[:1])

    def _fernet(self, key: bytes) -> Fernet:
        try:
            return Fernet(key)
        except ValueError as error:
            raise Misconfigured(f"What {self.place} holds is no key.", fix=f"Make one: {MAKE}") from error


def ring(folder: Path) -> Ring:
    """The state's keys; a new one, in a file that only its owner can read, where there is none anywhere."""
    if keys := _apart(os.environ.get(VARIABLE, "").encode()):
        return Ring(Place.ENVIRONMENT, keys)
    path = folder / KEY_FILE
    try:
        return Ring(Place.FILE, _in_file(path))
    except FileNotFoundError:
        if keys := _in_keyring():
            return Ring(Place.KEYRING, keys)
        _make(path)
        return Ring(Place.FILE, _in_file(path))
    except OSError as error:
        raise Misconfigured(
            f"The key file {path} cannot be read: {error.strerror}.", fix="Check its permissions."
        ) from error


def keep(folder: Path, held: Ring) -> None:
    """The place holds these keys, in one step: whoever looks finds all that were there before, or all of these.

    Raises Misconfigured where that cannot be: nobody changes the environment of another process.
    """
    written = b"\n".join(held.keys)
    if held.place is Place.FILE:
        try:
            files.replace((folder / KEY_FILE).resolve(), written + b"\n")
        except OSError as error:
            raise _not_kept(held, f"{error.strerror}") from error
    elif held.place is Place.KEYRING:
        _into_keyring(held, written.decode())
    else:
        raise _not_kept(held, "it is the environment's")


def _not_kept(held: Ring, why: str) -> Misconfigured:
    return Misconfigured(
        f"The keys in {held.place} cannot be changed from here: {why}.",
        fix=f"Change them there, for every process: several apart by commas, the new one first. To make one: {MAKE}",
    )


def _apart(held: bytes) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(key for key in _BETWEEN.split(held) if key))


def _in_file(path: Path) -> tuple[bytes, ...]:
    keys = _apart(path.read_bytes())
    if not keys:
        raise Misconfigured(f"The key file {path} is empty.", fix="Put the key back, or remove the file for a new one.")
    return keys


def _in_keyring() -> tuple[bytes, ...]:
    import keyring
    from keyring.errors import KeyringError

    try:
        return _apart((keyring.get_password(*KEYRING) or "").encode())
    except KeyringError:
        return ()  # a machine without a keyring: the key file is for it


def _into_keyring(held: Ring, written: str) -> None:
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(*KEYRING, written)
    except KeyringError as error:
        raise _not_kept(held, type(error).__name__) from error


def _make(path: Path) -> None:
    """A new key at `path`, complete from its first moment; of two programs at once both get the one that came first."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{KEY_FILE}-") as draft:  # mode 0600
        draft.write(Fernet.generate_key())
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            pass
