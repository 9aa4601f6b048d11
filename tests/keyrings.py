"""A keyring in memory, in the place of the machine's."""

from __future__ import annotations

import keyring.backend
import keyring.errors


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory, or one that is locked against changes."""

    priority = 1
    locked = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        self.held[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))
