"""Commands that take something back: undo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app
from sync.cli.run import Json, finish, opened, report_json, stopping

if TYPE_CHECKING:
    from sync.undo import Chosen, Reverse
    from sync.workspace import Workspace

Limit = Annotated[int, typer.Option("--limit", help="Show so many operations.")]
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
