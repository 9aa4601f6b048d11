"""`closedloop demo`: the whole loop on three sandboxes, in under a minute, and what came of it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app

PLATFORMS = ("hubspot", "mailchimp", "salesforce")
MARK = ".closedloop-demo"
"""The file that says a folder was made by the demo, and so may be replaced by it."""

_QUALIFICATION = """
# The definition of a qualified lead that marketing and sales agreed on
qualification:
  score:
    - {when: "activity.form > 0", points: 40, because: asked for contact}
    - {when: "activity.page >= 4", points: 15, because: looked around}
    - {when: "activity.email_click >= 2", points: 15, because: clicks in our mails}
    - {when: "lead.title.matches('(?i)chief|head|director|vp')", points: 20, because: decides}
    - {when: "lead.email_consent == 'unsubscribed'", points: -30, because: does not want mail}
  qualified_when: "score >= 55"
"""
_GOALS = """
goals:
  - {name: Leads for sales, count: qualified, at_least: 300, every: month}
  - {count: win_rate, at_least: 50%, every: quarter}
  - {count: revenue, at_least: 2000000, every: quarter}
"""


@app.command()
def demo(
    people: Annotated[int, typer.Option("--people", help="How many people.")] = 3000,
    folder: Annotated[Path, typer.Option("--folder", help="Where the project is made.")] = Path("closedloop-demo"),
) -> None:
    """Run the main job on sandboxes: backfill, hand-off, sales work the deals, outcomes go back."""
    from config.clock import SystemClock
    from connectors import registry
    from sync.demo.world import World

    _clear(folder)
    console = show.stdout()
    began = time.monotonic()
    with ExitStack() as stack:
        platforms: dict[str, Any] = {}
        for name in PLATFORMS:
            platforms[name] = stack.enter_context(registry.platform(name).sandbox(seed=3))
            console.print(f"  {name:11} sandbox on {platforms[name].base_url}")
        world = World(platforms, SystemClock().now())
        counts = world.fill(people)
        console.print(
            f"  {people} people: {counts['hubspot']} in HubSpot, {counts['mailchimp']} in Mailchimp "
            f"({counts['both']} in both), {counts['salesforce']} in Salesforce already"
        )
        _project(folder, platforms)
        _loop(folder, world, console)
        from sync.cli.setup import save_sandboxes

        save_sandboxes(folder / "sandboxes", list(platforms.values()))
    _farewell(folder, console, time.monotonic() - began)


def _clear(folder: Path) -> None:
    """Remove an earlier demo. Raises Misconfigured when the folder holds anything else: it may be somebody's work."""
    if (folder / MARK).is_file():
        shutil.rmtree(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} is there already and holds no demo.", fix="Choose another with --folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("The next demo in this folder replaces it.\n", encoding="utf-8")


def _project(folder: Path, platforms: dict[str, Any]) -> None:
    from sync import scaffold

    connections = {name: scaffold.sandbox_connection(folder, name, made) for name, made in platforms.items()}
    settings = {**connections["salesforce"].settings, "settle": 0}
    crm = connections["salesforce"]
    connections["salesforce"] = scaffold.Chosen(crm.platform, crm.mode, crm.auth, settings, crm.base_url, crm.ca_file)
    scaffold.write(folder, connections, tail=_QUALIFICATION)
    mapping = folder / "mappings" / "mailchimp.yaml"
    text = mapping.read_text(encoding="utf-8")
    entry = "      - {remote: merge_fields.SOURCE, field: original_source}   # a merge field of this audience's own\n"
    mark = "      - {remote: language, field: language}\n"
    mapping.write_text(text.replace(mark, entry + mark), encoding="utf-8")
    mapping = folder / "mappings" / "salesforce.yaml"
    text = mapping.read_text(encoding="utf-8")
    mark = "# - {remote: Loss_Reason__c, field: lost_reason}"  # the org's own field, which this sandbox has
    mapping.write_text(text.replace(mark, mark.removeprefix("# ")), encoding="utf-8")
    project = folder / "closedloop.yaml"
    text = project.read_text(encoding="utf-8").replace("currency: USD", "currency: EUR")
    project.write_text(re.sub(r"^goals: .*\n(# .*\n)*", _GOALS.lstrip(), text, flags=re.MULTILINE), encoding="utf-8")


def _loop(folder: Path, world: Any, console: Console) -> None:
    from sync.runs import Options, Runner
    from sync.workspace import Workspace

    with Workspace.open(folder) as workspace:
        names = list(workspace.connections)
        report = _step(
            workspace, console, "Backfill: pull everything, match, link; write nothing", "backfill", Options(bulk=True)
        )
        show.waiting({name: _short(waiting) for name, waiting in report.waiting.items()}, console)
        console.print("\n  (the demo says yes; `closedloop sync` would ask, or take --yes)")
        Runner(workspace).approve(names)
        _step(
            workspace, console, "First writes: a canary, then the rest; qualified leads go to sales", "sync", Options()
        )
        world.sell()
        console.print(f"\n  sales: {world.won} deals won, {world.lost} lost, {world.open} open")
        _step(workspace, console, "Sync: outcomes go back to marketing", "sync", Options())
        console.print(f"\n  meanwhile people changed {world.live_on()} records on all sides")
        _step(workspace, console, "Sync: the changes travel", "sync", Options())
        last = _step(workspace, console, "Sync again: nothing left to write", "sync", Options())
        _results(workspace, console)
        if any(row["planned"] for objects in last.counts["write"].values() for row in objects.values()):
            console.print("The last sync was to find nothing to write, and did find some. This is a bug.", style="red")
            raise typer.Exit(Exit.BUG)


def _short(waiting: Any) -> Any:
    """With one example of each verb."""
    waiting.sample = list({op.verb: op for op in reversed(waiting.sample)}.values())
    return waiting


def _step(workspace: Any, console: Console, title: str, command: str, options: Any) -> Any:
    from sync.runs import Runner

    console.print(f"\n[bold]{escape(title)}[/bold]")
    with show.Watch() as watch:
        report = Runner(workspace, progress=watch).run(command, list(workspace.connections), options)
    if report.errors:
        raise report.errors[0]
    for held in report.held.values():
        console.print(f"A guard holds {held.connection}: {held.why}. This is a bug.", style="red")
        raise typer.Exit(Exit.BUG)
    pulled = sum(row["pulled"] for objects in report.counts["pull"].values() for row in objects.values())
    written = {
        f"{name}/{object}": row["applied"]
        for name, objects in report.counts["write"].items()
        for object, row in objects.items()
        if row["applied"]
    }
    wrote = ", ".join(f"{number} {name}" for name, number in written.items()) or "nothing"
    calls = ", ".join(f"{name} {number}" for name, number in report.calls.items() if number)
    console.print(f"  {report.seconds:.1f} s; pulled {pulled} records, wrote {wrote}; API calls: {calls}")
    return report


def _results(workspace: Any, console: Console) -> None:
    from sqlalchemy import select

    from sync.cli.look import show_funnel, show_goals, show_lead
    from sync.insight.explain import explain
    from sync.insight.goals import standings
    from sync.insight.report import funnel
    from sync.insight.status import status as read_status
    from sync.state.schema import handoffs, leads

    with workspace.state.read() as tx:
        console.print()
        show_funnel(funnel(tx, "source", workspace.project.currency, workspace.project.channels), console)
        current = standings(tx, workspace)[1::2]  # each goal's last period, and its present one
        show_goals(current, workspace.project.currency, console)
        _handed_off(tx, console)
        _outcomes(tx, console)
        for row in read_status(tx)["quarantine"]:
            console.print(
                f"In quarantine: {row['number']} {row['code']} from {row['connection']} (closedloop quarantine list)"
            )
        chosen = None
        query = select(leads.c.id, leads.c.body).join(handoffs, handoffs.c.lead == leads.c.id).order_by(leads.c.id)
        for row in tx.execute(query):
            if orjson.loads(row.body).get("is_customer"):
                chosen = row.id
                break
        if chosen:
            console.print("\n[bold]One lead, field by field[/bold] (closedloop explain)")
            show_lead(explain(tx, workspace, chosen), console)


def _handed_off(tx: Any, console: Console) -> None:
    from sqlalchemy import select

    from sync.state.schema import handoffs, leads

    query = select(handoffs, leads.c.body).join(leads, leads.c.id == handoffs.c.lead).order_by(handoffs.c.score.desc())
    rows = []
    for row in tx.execute(query.limit(5)):
        values = orjson.loads(row.body)
        name = f"{values.get('first_name') or ''} {values.get('last_name') or ''}".strip()
        why = ", ".join(line for line in orjson.loads(row.reasons)[:-1])
        rows.append((name, show.text(values.get("title")), show.text(values.get("company")), row.score, why))
    console.print(
        show.table("Handed off (the five best of them) and why", ("who", "title", "company", "score", "why"), rows)
    )


def _outcomes(tx: Any, console: Console) -> None:
    """Which outcomes went back where, from the journal."""
    from collections import Counter

    from sqlalchemy import select

    from sync.state.schema import journal

    told: Counter[tuple[str, str, str]] = Counter()
    wanted = {"lifecycle_stage", "is_customer", "email_consent"}
    for row in tx.execute(select(journal.c.connection, journal.c.after).where(journal.c.state == "settled")):
        for name, value in orjson.loads(row.after).items():
            if name in wanted:
                told[(row.connection, name, show.text(value))] += 1
    rows = [(where, name, value, number) for (where, name, value), number in sorted(told.items())]
    console.print(
        show.table("What was told to whom", ("platform", "field", "value", "records"), rows, right=("records",))
    )


def _farewell(folder: Path, console: Console, seconds: float) -> None:
    console.print(f"\nDone in {seconds:.0f} s. The project is in [bold]{escape(str(folder))}[/bold]. Go on playing:")
    console.print(f"  cd {folder}")
    program = _program(folder)
    for line in (
        "closedloop sandbox --state sandboxes &    # the three platforms, as the demo left them",
        "closedloop status",
        "closedloop report --by campaign",
        "closedloop quarantine list",
        "closedloop plan",
        "closedloop sync",
    ):
        console.print(f"  {line.replace('closedloop', program, 1)}", markup=False, soft_wrap=True)


def _program(folder: Path) -> str:
    """How to call this program from `folder`: by its name where the shell finds it, else by its path from there."""
    found, own = shutil.which("closedloop"), Path(sys.argv[0])
    if own.name != "closedloop" or (found and Path(found).resolve() == own.resolve()):
        return "closedloop"
    return os.path.relpath(own.absolute(), folder.absolute())
