"""The command `closedloop`: what each error means to the shell, and where each command lives.

Heavy imports (SDKs, Alembic, DBOS) wait until a command needs them: `closedloop --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from config import memory
from config.errors import (
    AuthorizationLost,
    ClosedloopError,
    Fenced,
    Misconfigured,
    PermissionMissing,
    QuotaExhausted,
    RetryLater,
    StateUnusable,
)


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    BUG = 1
    USAGE = 2
    NEEDS_PERSON = 3
    PLATFORM = 4
    STATE = 5
    INTERRUPTED = 130


app = typer.Typer(
    name="closedloop",
    help="Keeps marketing platforms and CRMs in step, in both directions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
quarantine = typer.Typer(help="What was refused: list it, look at it, try it again.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")
conflicts = typer.Typer(help="What only a person can decide: list it, look at it, decide it.", no_args_is_help=True)
app.add_typer(conflicts, name="conflicts")
connector = typer.Typer(help="For whoever writes a connector.", no_args_is_help=True)
app.add_typer(connector, name="connector")
duplicates = typer.Typer(help="Leads that are probably one person: list them, link them, or not.", no_args_is_help=True)
app.add_typer(duplicates, name="duplicates")
linkedin = typer.Typer(help="What LinkedIn gives by hand: files, and look-ups for partners.", no_args_is_help=True)
app.add_typer(linkedin, name="linkedin")
state = typer.Typer(help="The state's own affairs.", no_args_is_help=True)
app.add_typer(state, name="state")

PROJECT_FILE = "closedloop.yaml"


class _Options:
    """The options of every command, as given before it."""

    folder: Path | None = None
    debug: bool = False


options = _Options()


@app.callback()
def _common(
    project: Annotated[
        Path | None,
        typer.Option(
            "--project", "-C", help="The project's folder; else the nearest one upwards with closedloop.yaml."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something unexpected happens.")] = False,
) -> None:
    options.folder = project
    options.debug = debug
    from sync.cli.logs import configure

    configure(verbose=verbose)


def folder() -> Path:
    """The project's folder. Raises Misconfigured, saying where it looked."""
    if options.folder is not None:
        return options.folder
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / PROJECT_FILE).is_file():
            return place
    raise Misconfigured(
        f"There is no {PROJECT_FILE} here or in any folder above.",
        fix="Make one with `closedloop init`, or name its folder with --project.",
    )


def exit_code(error: BaseException) -> Exit:
    """What an error means to the shell."""
    if isinstance(error, Misconfigured | PermissionMissing):
        return Exit.USAGE
    if isinstance(error, StateUnusable | Fenced):
        return Exit.STATE
    if isinstance(error, AuthorizationLost | QuotaExhausted | RetryLater):
        return Exit.PLATFORM
    if isinstance(error, ClosedloopError):
        return Exit.NEEDS_PERSON
    return Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.BUG


def main() -> None:
    """Run the command line; never a traceback for an error that has a name."""
    for module in ("run", "act", "setup", "connect", "connector", "look", "conflicts", "linkedin", "demo"):
        __import__(f"sync.cli.{module}")
    memory.settle()
    _speak_any_charset()
    try:
        code = app(prog_name="closedloop", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else Exit.OK)
    except (typer.Abort, KeyboardInterrupt):
        _say("Interrupted. Nothing is lost: run the same command again to go on.")
        sys.exit(Exit.INTERRUPTED)
    except ClosedloopError as error:
        _say(f"{error}")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # a reader such as `head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except Exception as error:  # noqa: BLE001 - the last door: what has no name is a bug of ours, told as one
        _unexpected(error)
        sys.exit(Exit.BUG)


def _speak_any_charset() -> None:
    """A terminal without a letter of somebody's name gets a question mark, not an exception."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def write_file(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file that the user named, `private` for its owner's eyes. Raises Misconfigured where that cannot be."""
    try:
        if private:
            path.touch(mode=0o600)
            if path.is_file():
                path.chmod(0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.", fix="Choose another place.") from error


def _unexpected(error: Exception) -> None:
    shown = getattr(error, "format_message", None)  # click's own usage errors
    if shown is not None:
        _say(_with_help(shown(), error))
        sys.exit(Exit.USAGE)
    if options.debug:
        traceback.print_exception(error)
    _say(
        f"Something unexpected happened ({type(error).__name__}). This is a bug: please report it. --debug shows more."
    )


def _with_help(told: str, error: Exception) -> str:
    """What was wrong with a call, and where the command says how it is called; nothing where it has shown its help."""
    path = getattr(getattr(error, "ctx", None), "command_path", "")
    return told if not path or not told.strip() else f"{told.rstrip('.')}. `{path} --help` shows how."


def _say(text: str) -> None:
    from sync.cli.show import stderr

    stderr().print(text, style="red", highlight=False, markup=False, soft_wrap=True)
