"""Commands for whoever writes a connector: connector new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import connector


@connector.command()
def new(
    name: Annotated[str, typer.Argument(help="The platform's name, like my_crm.")],
    folder: Annotated[Path | None, typer.Option("--folder", help="Where; else closedloop-NAME here.")] = None,
) -> None:
    """Write a connector as an installable package that keeps the rules as it stands, to be edited."""
    from sync import connector_scaffold

    place = folder or Path.cwd() / f"closedloop-{name.replace('_', '-')}"
    try:
        written = connector_scaffold.write(name, place)
    except OSError as error:
        raise Misconfigured(f"{place} cannot be written: {error.strerror}.", fix="Choose another folder.") from error
    console = show.stdout()
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    console.print("\nInstall it, and hold it to the rules:", markup=False)
    console.print(f"  pip install -e {place}\n  pytest {place}", markup=False, soft_wrap=True)
