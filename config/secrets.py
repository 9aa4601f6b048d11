"""Secrets: where they are kept, and a type that never shows them.

A secret in the project file is a reference, never the secret: `env:NAME`, `file:PATH`, `keyring:SERVICE/NAME`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import final

from config.errors import Misconfigured

SCHEMES = ("env", "file", "keyring")


@final
class Secret:
    """A value that prints as `***`. `reveal()` is the only way to it; call it where the value leaves, not before."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not to be serialised")


def is_reference(text: str) -> bool:
    """Whether `text` points at a secret."""
    scheme, _, rest = text.partition(":")
    return scheme in SCHEMES and bool(rest)


def resolve(reference: str, *, folder: Path, environ: Mapping[str, str] | None = None) -> Secret:
    """The secret behind `reference` (`file:` paths start at `folder`). Raises Misconfigured, saying where it looked."""
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        return _from_environment(name, os.environ if environ is None else environ)
    if scheme == "file":
        return _from_file(folder / Path(name).expanduser())
    if scheme == "keyring":
        return _from_keyring(name)
    raise Misconfigured(
        "A secret must be a reference, not the secret itself.",
        fix="Write env:NAME, file:PATH or keyring:SERVICE/NAME.",
    )


def _from_environment(name: str, environ: Mapping[str, str]) -> Secret:
    value = environ.get(name, "")
    if not value:
        raise Misconfigured(f"The environment variable {name} is not set.", fix=f"Set it: export {name}=...")
    return Secret(value)


def _from_file(path: Path) -> Secret:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Misconfigured(
            f"The secret file {path} cannot be read: {error.strerror}.", fix="Check the path and its permissions."
        ) from error
    if not value:  # an empty webhook secret would make everybody's signature a good one
        raise Misconfigured(f"The secret file {path} is empty.", fix="Write the secret into it.")
    return Secret(value)


def _from_keyring(name: str) -> Secret:
    import keyring
    from keyring.errors import KeyringError

    service, _, user = name.partition("/")
    try:
        value = keyring.get_password(service, user)
    except KeyringError as error:
        raise Misconfigured(
            f"The keyring cannot be read: {type(error).__name__}.", fix="Unlock it, or use env:NAME or file:PATH."
        ) from error
    if not value:
        raise Misconfigured(f"The keyring has no entry {name}.", fix=f"Add it: keyring set {service} {user}")
    return Secret(value)
