"""The command that connects an account: connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import AuthorizationLost
from sync.cli import show
from sync.cli.app import app
from sync.cli.run import opened

if TYPE_CHECKING:
    from connectors.consent import Asked
    from sync.workspace import Workspace


@app.command()
def connect(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="A connection, or the platform of only one.")],
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    port: Annotated[int, typer.Option("--port", help="Where the browser comes back to on this machine.")] = 8719,
    paste: Annotated[
        bool, typer.Option("--paste", help="Ask for the address the browser ends at: it is on another machine.")
    ] = False,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the token in the keyring instead.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the person.")] = 300,
) -> None:
    """Connect an account by OAuth: agree in a browser; what comes of it is kept encrypted in the state."""
    from sync.connect import Door, connection_of
    from sync.connect import connect as ask

    def shown(asked: Asked) -> None:
        _show(asked, browser=browser)

    with opened() as workspace:
        chosen = connection_of(workspace, name)
        door = Door(shown, _pasted, port=port, seconds=timeout, pasted=paste, keyring=keyring)
        reference = ask(workspace, chosen, door)
        if reference:
            _show_reference(workspace, chosen, reference)
            return
        health = workspace.connector(chosen).check()
    show.stdout().print(f"{chosen} is connected: {health.account_name} ({health.account_id}).", markup=False)
    show.scopes(health, show.stdout())


def _show(asked: Asked, *, browser: bool) -> None:
    console = show.stdout()
    console.print(f"The browser comes back to {asked.redirect} (register it at the app).", markup=False)
    console.print("Open this page and agree:", markup=False)
    console.print(asked.address, markup=False, soft_wrap=True)
    if browser:
        import webbrowser

        webbrowser.open(asked.address)


def _pasted() -> str:
    answer = typer.prompt("Paste the address the browser ended at", default="", show_default=False)
    if not answer:
        raise AuthorizationLost("No address was given.", fix="Run the command again.")
    return str(answer)


def _show_reference(workspace: Workspace, name: str, reference: str) -> None:
    member = reference.rpartition(".")[2]
    console = show.stdout()
    if workspace.project.connections[name].auth.get(member) == reference:
        console.print(f"{name} is connected: the keyring has the token.", markup=False)
        return
    console.print(f"The keyring has the token. Write into closedloop.yaml, at connections.{name}.auth:", markup=False)
    console.print(f"  {member}: {reference}", markup=False)
