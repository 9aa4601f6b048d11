"""Log-ins of the simulated accounts: by a person's consent wherever the platform has such, and given again when lost.

Who loses a log-in (a token call whose answer never came, where a refresh token works once) needs a person. The engine
must say so, and go on once somebody connected the account again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from config.errors import AuthorizationLost, ClosedloopError
from connectors import registry
from sync import scaffold
from sync.workspace import Workspace
from tests.connect.surroundings import agree

NO_TOKEN = 61.0
"""Seconds in which some platforms give no second token."""


def connection(folder: Path, name: str, sandbox: Any) -> scaffold.Chosen:
    """The sandbox's connection: an app that was given nothing yet, or a key where that is all there is."""
    known = sandbox.account()
    if hasattr(getattr(sandbox, "login", None), "rotates"):
        sandbox.login.rotates = True
    if sandbox.consents is None:
        return scaffold.sandbox_connection(folder, name, sandbox)
    mode, app = next(iter(sandbox.consents.apps.items()))
    facts = registry.facts(name).auth[mode]
    taken = {*facts.secrets, *facts.settings, *facts.optional} - {facts.grant.gives if facts.grant else ""}
    members = {**{one: value for one, value in known["auth"].items() if one in taken}, **app}
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    for member in facts.secrets:
        if member in members:
            (folder / "secrets" / f"{name}_{member}").write_text(str(members[member]), encoding="utf-8")
            members[member] = f"file:secrets/{name}_{member}"
    return scaffold.Chosen(name, mode, members, known["settings"], sandbox.base_url)


def connect(workspace: Workspace, name: str, sandbox: Any) -> None:
    """A person agrees on the platform's page; afterwards the connection's log-in works."""
    if sandbox.consents is not None:
        sandbox.clock.advance(NO_TOKEN)
        agree(workspace, sandbox, name)
        workspace.heed_consents([name])


def lost(errors: Iterable[ClosedloopError]) -> set[str]:
    """The connections of which a run said that a person must connect them again."""
    return {error.connection for error in errors if isinstance(error, AuthorizationLost)}
