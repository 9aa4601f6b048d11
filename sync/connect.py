"""Connecting an account by a person's consent: ask in a browser, catch the answer, exchange it, keep what came of it.

What is kept replaces all that was kept of the connection's log-in before, in one transaction: a token of an earlier
consent is never mixed with this one's. A process that dies before that has changed nothing here; the person asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from config import secrets
from config.errors import ClosedloopError, Misconfigured
from config.secrets import Secret
from connectors import consent
from connectors.consent import App, Asked
from connectors.manifest import mode_of
from connectors.oauth import CONNECTED, KEPT, pair_of
from sync.callback import LOOPBACK, listening
from sync.workspace import Workspace

PORT = 8719
PATH = "/callback"
SERVICE = "closedloop"
"""The keyring's service that tokens are kept under."""


@dataclass(frozen=True, slots=True)
class Door:
    """How the person is reached: `show` tells the page's address, `paste` asks for the address of the answer."""

    show: Callable[[Asked], None]
    paste: Callable[[], str]
    port: int = PORT  # 0: any free one
    seconds: float = 300.0
    pasted: bool = False  # the answer comes by hand: the browser is elsewhere
    keyring: bool = False


def connection_of(workspace: Workspace, named: str) -> str:
    """The connection of this name, or the only one of this platform. Raises Misconfigured."""
    if named in workspace.connections:
        return named
    found = [name for name, one in workspace.project.connections.items() if one.platform == named]
    if len(found) == 1:
        return found[0]
    several = f"Several connections are of {named}: {', '.join(found)}."
    raise Misconfigured(
        several if found else f"There is no connection {named!r}.",
        fix="Name one of them." if found else f"There are: {', '.join(workspace.connections)}.",
    )


def connect(workspace: Workspace, name: str, door: Door) -> str:
    """Ask for consent and keep what comes of it. The keyring's reference where it went there, else "".

    Raises Misconfigured, AuthorizationLost or RetryLater; then nothing was changed.
    """
    app = _app(workspace, name, door)
    answered = _asked(workspace, app, name, door)
    return _kept(workspace, app, name, door, answered)


def _app(workspace: Workspace, name: str, door: Door) -> App:
    settings, facts = workspace.project.connections[name], workspace.manifest(name)
    mode = mode_of(facts, settings.auth)
    if mode is None:
        raise Misconfigured(f"auth.mode is none of {', '.join(facts.auth)}.", connection=name)
    given = mode.grant.gives if mode.grant else ""
    if settings.auth.get(given) and not door.keyring:
        raise Misconfigured(
            f"auth.{given} stands in the project file, and would go before what a consent gives.",
            fix="Take it out and run the command again, or use --keyring.",
            connection=name,
        )
    auth = {member: _resolved(workspace, value) for member, value in settings.auth.items() if member != given}
    return consent.app_of(workspace.account(name, auth), facts.title, mode)


def _resolved(workspace: Workspace, value: str) -> Secret | str:
    return secrets.resolve(value, folder=workspace.folder) if secrets.is_reference(value) else value


def _asked(workspace: Workspace, app: App, name: str, door: Door) -> Mapping[str, Any]:
    """Show the question, wait for its answer, and exchange the code in it."""
    registered = str(workspace.project.connections[name].auth.get("redirect_uri") or "")
    place = urlsplit(registered or f"http://{app.grant.loopback}:{door.port}{PATH}")
    local = place.scheme == "http" and place.hostname in LOOPBACK
    try:
        if not local or door.pasted:
            asked = consent.ask(app, place.geturl())
            door.show(asked)
            return consent.exchange(app, asked, consent.code_of(app, asked, door.paste()))
        port = 80 if place.port is None else place.port
        with listening(str(place.hostname), port, place.path or "/") as callback:
            asked = consent.ask(app, registered or callback.redirect)
            door.show(asked)
            code = consent.code_of(app, asked, callback.wait(door.seconds))
        return consent.exchange(app, asked, code)
    except ClosedloopError as error:
        error.connection = error.connection or name
        raise


def _kept(workspace: Workspace, app: App, name: str, door: Door, told: Mapping[str, Any]) -> str:
    """Keep the tokens: the pair as its renewal keeps it, what began it, and what was told with it."""
    first = str(told[app.grant.gives])
    kept = {name: str(told[name]) for name in app.grant.keeps if told.get(name)}
    kept |= {} if door.keyring else {CONNECTED: first}
    if app.grant.gives == "refresh_token" and told.get("access_token"):
        kept[KEPT] = pair_of(told, first, first, workspace.clock.now())
    reference = _into_keyring(f"{name}.{app.grant.gives}", first, name) if door.keyring else ""
    workspace.tokens(name).begin_anew(kept)
    return reference


def _into_keyring(user: str, token: str, connection: str) -> str:
    import keyring
    from keyring.errors import KeyringError

    try:
        keyring.set_password(SERVICE, user, token)
    except KeyringError as error:
        raise Misconfigured(
            f"The keyring does not take the token: {type(error).__name__}.",
            fix="Unlock it, or run the command again without --keyring: the state keeps it encrypted.",
            connection=connection,
        ) from error
    return f"keyring:{SERVICE}/{user}"
