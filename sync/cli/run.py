"""Commands that move data: backfill, sync, plan, apply, daemon."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app, exit_code, folder

if TYPE_CHECKING:
    from sync.runs import Options, Report
    from sync.workspace import Workspace

Names = Annotated[list[str] | None, typer.Argument(help="Connections; all when none is named.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Let the first writes to an account through.")]
Large = Annotated[bool, typer.Option("--allow-large-change", help="Let through what a guard would hold, in this run.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def opened() -> Iterator[Workspace]:
    """The project at hand, opened and closed again."""
    from sync.workspace import Workspace

    with Workspace.open(folder()) as workspace:
        yield workspace


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {name: signal.signal(name, ask) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@app.command()
def sync(names: Names = None, yes: Yes = False, allow_large_change: Large = False, json: Json = False) -> None:
    """Pull what changed, decide, write what follows."""
    _run("sync", names, since="", yes=yes, large=allow_large_change, as_json=json)


@app.command()
def backfill(
    names: Names = None,
    since: Annotated[str, typer.Option("--since", help="Only records changed since this day or instant (ISO).")] = "",
    rolled_back: Annotated[
        str, typer.Option("--rolled-back", help="Of an account that was: accept it, or put-back what it lost.")
    ] = "",
    yes: Yes = False,
    allow_large_change: Large = False,
    json: Json = False,
) -> None:
    """Pull everything, from the beginning or --since. Goes on where an interrupted backfill stopped."""
    from sync.rollback import WAYS

    if rolled_back and (rolled_back not in WAYS or not names or since):
        ways = " or ".join(WAYS)
        raise Misconfigured("--rolled-back is not understood.", fix=f"Name the account, give {ways}, and no --since.")
    large = allow_large_change
    _run("backfill", names, since=_instant(since), yes=yes, large=large, as_json=json, choice=rolled_back)


def _instant(written: str) -> str:
    from config.clock import stamp

    if not written:
        return ""
    try:
        at = datetime.fromisoformat(written)
        since = stamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise Misconfigured("--since is no date.", fix="Write it like 2026-01-31 or 2026-01-31T08:00:00Z.") from error
    if since > stamp(datetime.now(UTC)):
        raise Misconfigured("--since is in the future: nothing changed since.", fix="Give a day that has been.")
    return since


def _run(
    command: str, names: list[str] | None, *, since: str, yes: bool, large: bool, as_json: bool, choice: str = ""
) -> None:
    from sync.runs import Options, Runner

    with opened() as workspace:
        chosen = names or list(workspace.connections)
        options = Options(since=since, bulk=command == "backfill", approve=yes, large=large, choice=choice)
        report = _watched(workspace, command, chosen, options)
        if report.waiting and yes:  # an interrupted run goes on with the options it began with: a yes given now counts
            Runner(workspace).approve(list(report.waiting))
            report = _watched(workspace, "sync", chosen, Options(large=large))
        again = False
        while report.waiting and not as_json and _agreed(report, again=again):
            shown = {name: waiting.digest for name, waiting in report.waiting.items()}
            report = _watched(workspace, "sync", chosen, Options(large=large, shown=shown))
            again = True
        asked = "" if as_json else _asked(workspace)
    finish(report, as_json, asked=asked)


def _asked(workspace: Workspace) -> str:
    """What waits for a person by now, of this run and of earlier ones, and where it is shown; "" where nothing does."""
    from sqlalchemy import func, select

    from sync.state.schema import conflicts, quarantine

    sorts = (
        (quarantine, "in quarantine (`closedloop quarantine list`)"),
        (conflicts, "to decide (`closedloop conflicts list`)"),
    )
    with workspace.state.read() as tx:
        numbers = [tx.execute(select(func.count()).where(table.c.state == "open")).scalar_one() for table, _ in sorts]
    told = [f"{number} {what}" for number, (_, what) in zip(numbers, sorts, strict=True) if number]
    return f"Waiting for a person: {', '.join(told)}." if told else ""


def _watched(workspace: Workspace, command: str, chosen: list[str], options: Options) -> Report:
    from sync.runs import Runner

    with stopping() as stop, show.Watch() as watch:
        return Runner(workspace, progress=watch, stop=stop).run(command, chosen, options)


def _agreed(report: Report, *, again: bool) -> bool:
    """Show what the first writes would be, and ask where somebody is there to answer; `again` where it changed since it
    was shown."""
    console = show.stdout()
    if again:
        console.print("\nWhat would be written has changed since it was shown. Nothing of it was written.")
    show.waiting(report.waiting, console)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        console.print("\nNothing was written. Run it again with --yes to let these writes through.")
        return False
    return typer.confirm("\nWrite this? A few records go first and are checked.", default=False)


def finish(
    report: Report, as_json: bool = False, *, quietly: bool = False, left: bool = False, asked: str = ""
) -> None:
    """Print the end of a run, and leave with its exit code; with `left` something waits for a person at least, and
    `asked` says what."""
    if as_json:
        show.json(report_json(report))
    elif not quietly:
        show.report(report, show.stdout())
        if report.state == "cancelled":
            show.stdout().print("Stopped cleanly. The same command goes on from here.")
        if asked:
            show.stdout().print(asked, markup=False)
    code = _code(report)
    raise typer.Exit(Exit.NEEDS_PERSON if left and code is Exit.OK else code)


def report_json(report: Report) -> dict[str, Any]:
    """A run's report as JSON."""
    return {
        "run": report.run,
        "command": report.command,
        "state": report.state,
        "counts": report.counts,
        "waiting": {
            name: {"creates": w.creates, "updates": w.updates, "matched": w.matched, "unmatched": w.unmatched}
            for name, w in report.waiting.items()
        },
        "held": {name: {"why": held.why, "planned": held.planned} for name, held in report.held.items()},
        "frozen": report.frozen,
        "needs_person": report.needs_person,
        "errors": [str(error) for error in report.errors],
        "seconds": round(report.seconds, 3),
        "calls": report.calls,
    }


def _code(report: Report) -> Exit:
    if report.state == "cancelled":
        return Exit.INTERRUPTED
    if report.errors:
        return exit_code(report.errors[0])
    return Exit.NEEDS_PERSON if report.needs_person or report.waiting else Exit.OK


@app.command()
def plan(
    names: Names = None,
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan, to apply exactly this later.")] = None,
    json: Json = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show so many operations.")] = 20,
    pull: Annotated[bool, typer.Option("--pull/--no-pull", help="Look at the platforms first.")] = True,
) -> None:
    """Show what a sync would write: per record and field, old → new, with the reason. Writes nothing anywhere."""
    from sync import planfile
    from sync.runs import Options, Runner

    with opened() as workspace, show.Watch() as watch:
        chosen = names or list(workspace.connections)
        report = Runner(workspace, progress=watch).run("plan", chosen, Options(push=False)) if pull else None
        made = planfile.make_plan(workspace, chosen)
        if out is not None:
            _save(made, out)
    if json:
        show.raw_json(planfile.dump(made))
    else:
        _show_plan(made, limit, out)
    if report is not None and report.errors:
        raise report.errors[0]


def _save(made: Any, out: Path) -> None:
    from sync import planfile

    try:
        planfile.save(made, out)
    except OSError as error:
        raise Misconfigured(f"{out} cannot be written: {error.strerror}.", fix="Choose another place.") from error


def _show_plan(made: Any, limit: int, out: Path | None) -> None:
    console = show.stdout()
    if made.operations:
        show.plan(made, console, limit)
    else:
        console.print("Nothing to write: everything is in step.")
    if out is not None:
        console.print(f"Saved to {out}. `closedloop apply {out}` writes exactly this.")


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A plan saved with `closedloop plan --out`.")], json: Json = False
) -> None:
    """Write exactly a saved plan. Records that changed since are refused as stale; the rest goes on."""
    from sync import planfile
    from sync.runs import Runner

    with opened() as workspace, stopping() as stop, show.Watch() as watch:
        made = planfile.load(file)
        applied = planfile.apply(workspace, made, Runner(workspace, progress=watch, stop=stop))
    if not json and applied.stale:
        console = show.stdout()
        console.print(f"{len(applied.stale)} of {len(made.operations)} operations are stale and were left:")
        show.operations(applied.stale, console, 10)
    finish(applied.report, json)


@app.command()
def rebaseline(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    create_missing: Annotated[
        bool, typer.Option("--create-missing", help="Do not ask about people who are missing somewhere: make them.")
    ] = False,
    allow_large_change: Large = False,
    json: Json = False,
) -> None:
    """Take up a state restored from a backup: read everything anew, ask where it cannot know, write nothing."""
    from sync.rebaseline import rebaseline as anew
    from sync.runs import Runner

    with opened() as workspace:
        if not (yes or json):
            _confirm_rebaseline(workspace)
        with stopping() as stop, show.Watch() as watch:
            runner = Runner(workspace, progress=watch, stop=stop)
            done = anew(workspace, runner, create_missing=create_missing, large=allow_large_change)
    if json:
        told = report_json(done.report) if done.report else {"run": None}
        show.json({**told, "taken_up": done.taken_up, "forgotten": done.forgotten, "questions": done.questions})
    else:
        show.rebaselined(done, show.stdout())
    if done.report is not None:
        finish(done.report, quietly=True, left=bool(done.questions))


def _confirm_rebaseline(workspace: Workspace) -> None:
    from sync.epoch import standing
    from sync.rebaseline import SURE

    mark, known = standing(workspace.state, workspace.marks)
    console = show.stdout()
    console.print(f"The state is at epoch {known.epoch}; {workspace.marks.where}: {mark.epoch if mark else 'none'}.")
    console.print(f"It waits {SURE / 60:.0f} minutes first, until all that was sent last is surely done and shown.")
    console.print("Every account is read from the beginning. Nothing is written to any platform.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        console.print("Nothing was done. Run it again with --yes to do it.")
        raise typer.Exit(Exit.NEEDS_PERSON)
    if not typer.confirm("Do it?", default=False):
        raise typer.Exit(Exit.NEEDS_PERSON)


@app.command()
def daemon() -> None:
    """Sync on schedule until SIGTERM. SIGHUP reads the project anew; health and metrics on a local port."""
    from sync.cli.logs import configure
    from sync.daemon import serve

    configure(verbose=True)
    serve(folder())
