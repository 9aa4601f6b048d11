"""Commands that take something back: undo, forget; and export, for those who ask what is held."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app, write_file
from sync.cli.run import Json, finish, opened, report_json, stopping

if TYPE_CHECKING:
    from sync.undo import Chosen, Reverse
    from sync.workspace import Workspace

Limit = Annotated[int, typer.Option("--limit", min=0, help="Show so many operations.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


@app.command()
def undo(
    run: Annotated[str, typer.Argument(help="The run whose writes to take back; `status` lists the last ones.")] = "",
    connection: Annotated[str, typer.Option("--connection", help="Only writes to this connection.")] = "",
    object: Annotated[str, typer.Option("--object", help="Only writes to this object.")] = "",
    lead: Annotated[str, typer.Option("--lead", help="Only writes about this lead: its e-mail address or id.")] = "",
    yes: Yes = False,
    limit: Limit = 20,
    pull: Annotated[bool, typer.Option("--pull/--no-pull", help="Look at the platforms first.")] = True,
    json: Json = False,
) -> None:
    """Take back what a run wrote, where nobody changed it since. Shows it first; is a run itself, and undoable."""
    from sync import planfile
    from sync.runs import Runner
    from sync.undo import Chosen

    with opened() as workspace:
        chosen = Chosen(run, connection, object, _lead(workspace, lead))
        if chosen == Chosen():
            raise Misconfigured("Nothing is chosen.", fix="Name a run, or use --connection, --object or --lead.")
        _be_written(workspace, connection)
        made, plan = _reversed(workspace, chosen, pull=pull)
        if not json:
            _show(made, plan, limit)
        if not plan.operations or not (yes or (not json and agreed("\nWrite this?"))):
            if json:
                show.json({"run": None, "plan": planfile.as_json(plan), "left": _left_json(made)})
            raise typer.Exit(Exit.NEEDS_PERSON if plan.operations or made.left else Exit.OK)
        with stopping() as stop, show.Watch() as watch:
            runner = Runner(workspace, progress=watch, stop=stop)
            applied = planfile.apply(workspace, plan, runner, command="undo", choice=chosen.told())
    if json:
        show.json({**report_json(applied.report), "left": _left_json(made)})
    finish(applied.report, quietly=json, left=bool(made.left))


def _be_written(workspace: Workspace, connection: str) -> None:
    """Raises Misconfigured where there is no such connection, and never was one that something was written to."""
    from sqlalchemy import select

    from sync.state.schema import journal

    if connection and connection not in workspace.connections:
        with workspace.state.read() as tx:
            if tx.execute(select(journal.c.id).where(journal.c.connection == connection).limit(1)).first() is None:
                there = ", ".join(workspace.connections)
                raise Misconfigured(f"There is no connection {connection!r}.", fix=f"Configured are: {there}.")


def _lead(workspace: Workspace, who: str) -> str:
    from sync.insight.explain import find

    if not who:
        return ""
    with workspace.state.read() as tx:
        found = find(tx, who)
    if found is None:
        raise Misconfigured("No lead has this address or id.", fix="Check it, or sync first.")
    return found


def _reversed(workspace: Workspace, chosen: Chosen, *, pull: bool) -> tuple[Reverse, Any]:
    """What would take `chosen` back, after a look at the platforms it went to."""
    from sync import planfile
    from sync.runs import Options, Runner
    from sync.undo import connections_of, reverse

    with workspace.state.read() as tx:
        names = [name for name in connections_of(tx, chosen) if name in workspace.connections]
    if pull and names:
        with show.Watch() as watch:
            report = Runner(workspace, progress=watch).run("plan", names, Options(push=False))
        if report.errors:
            raise report.errors[0]
    with workspace.state.read() as tx:
        made = reverse(tx, workspace, chosen)
        plan = planfile.Plan(workspace.now(), planfile.state_id(tx), made.operations)
    return made, plan


def _show(made: Reverse, plan: Any, limit: int) -> None:
    console = show.stdout()
    if plan.operations:
        show.plan(plan, console, limit)
    else:
        console.print("There is nothing to take back.")
    show.left(made.left, console, limit)


def _left_json(made: Reverse) -> list[dict[str, str]]:
    return [
        {"connection": o.connection, "object": o.object, "record": o.record, "field": o.field, "why": o.why}
        for o in made.left
    ]


def agreed(question: str) -> bool:
    """Ask where somebody is there to answer; a no elsewhere, said in words."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        show.stdout().print("\nNothing was done. Run it again with --yes to do it.")
        return False
    return typer.confirm(question, default=False)


Address = Annotated[str, typer.Argument(help="The person's e-mail address.")]


@app.command()
def forget(
    address: Address,
    yes: Yes = False,
    lift: Annotated[bool, typer.Option("--lift", help="Take the person in again, who asked for it anew.")] = False,
    json: Json = False,
) -> None:
    """Erase a person: on every platform that can, then here, where only a keyed digest stays. Shows it first."""
    from sync import forget as forgetting
    from sync.runs import Runner

    wanted = forgetting.canonical(address)
    with opened() as workspace:
        if lift:
            _lift(workspace, wanted)
            return
        made = forgetting.erasure(workspace, wanted)
        if not json:
            _show_erasure(made)
        if not (yes or (not json and agreed("\nThis cannot be undone. Forget this person?"))):
            if json:
                show.json(_erasure_json(made))
            raise typer.Exit(Exit.NEEDS_PERSON)
        with stopping() as stop, show.Watch() as watch:
            report = forgetting.forget(workspace, made, Runner(workspace, progress=watch, stop=stop))
        gone = report is None or forgetting.all_done(report)
        clean = workspace.state.compact() if gone else False
    _tell(made, report, gone=gone, clean=clean, as_json=json)


def _lift(workspace: Workspace, address: str) -> None:
    from sync.epoch import advance, check, remember

    check(workspace.state, workspace.marks)
    with workspace.state.begin() as tx:
        if not workspace.suppression.lift(tx, address):
            raise Misconfigured("This address was not forgotten.", fix="Check it.")
        advance(tx)
    remember(workspace.state, workspace.marks)
    show.stdout().print("The next pull that brings the person takes them in again.")


def _show_erasure(made: Any) -> None:
    console = show.stdout()
    for operation in made.operations:
        console.print(f"  erase {operation.connection}/{operation.object}/{operation.record}", markup=False)
    rows = [("/".join(place), why) for place, why in made.left]
    if rows:
        console.print(show.table("By hand: no program can remove these", ("record", "why"), rows))
    if made.person.records:
        console.print("Here everything of the person goes; a keyed digest stays, so that nobody takes them in again.")
    else:
        console.print("Nothing is held of this person, here or where their address can be looked up.")
        console.print("A keyed digest of the address would be kept, so that nobody takes them in.")


def _erasure_json(made: Any) -> dict[str, Any]:
    return {
        "records": ["/".join(place) for place in made.person.records],
        "left": [{"record": "/".join(place), "why": why} for place, why in made.left],
    }


def _tell(made: Any, report: Any, *, gone: bool, clean: bool, as_json: bool) -> None:
    if as_json:
        told = report_json(report) if report else {"run": None}
        show.json({**told, **_erasure_json(made), "forgotten": gone, "compacted": clean})
    else:
        if report is not None:
            show.report(report, show.stdout())
        _tell_person(gone, clean)
    if report is not None:
        finish(report, quietly=True, left=bool(made.left) or not gone)
    raise typer.Exit(Exit.NEEDS_PERSON if made.left else Exit.OK)


def _tell_person(gone: bool, clean: bool) -> None:
    console = show.stdout()
    if not gone:
        console.print(
            "Not every platform has done it yet: run the same command again. Until then nothing is erased here."
        )
    elif clean:
        console.print("Forgotten. Backups and plans that you saved are yours to look after.")
    else:
        fix = "stop the daemon and run `closedloop state compact`."
        console.print(f"Forgotten; other programs use the database, so remains are still in its file: {fix}")


@app.command()
def export(
    address: Address,
    out: Annotated[Path | None, typer.Option("--out", help="Write to a file that only its owner can read.")] = None,
) -> None:
    """Everything held of a person, as JSON: for those who ask what you know of them."""
    import orjson

    from sync.forget import canonical
    from sync.insight.export import export as everything

    wanted = canonical(address)
    with opened() as workspace, workspace.state.read() as tx:
        found = everything(tx, workspace, wanted)
    written = orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"
    if out is None:
        show.raw_json(written)
        return
    write_file(out, written, private=True)
    show.stdout().print(f"Written to {out}.", markup=False)
