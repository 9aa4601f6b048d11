"""Commands that only look: status, explain, report, quarantine; and the replay of what is in quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app, quarantine, state
from sync.cli.run import Json, opened


@app.command()
def status(json: Json = False) -> None:
    """How the sync is doing: connections, streams, runs, and what waits for a person."""
    from sync.insight.status import status as read_status

    with opened() as workspace, workspace.state.read() as tx:
        found = read_status(tx)
    if json:
        show.json(found)
        return
    _show_status(found, show.stdout())


def _show_status(found: dict[str, Any], console: Console) -> None:
    leads = found["leads"]
    console.print(
        f"{leads['live']} leads, {leads['qualified']} qualified, {leads['handed_off']} handed off; "
        f"{leads['to_merge']} to merge, {leads['to_write']} to write."
    )
    rows = [
        (
            c["connection"],
            c["account"],
            o["object"],
            o["records"],
            "yes" if o["complete"] else "no",
            (o["pulled_at"] or "")[:19],
        )
        for c in found["connections"]
        for o in c["objects"]
    ]
    columns = ("connection", "account", "object", "records", "complete", "last pull")
    console.print(show.table("Streams", columns, rows, right=("records",)))
    for c in found["connections"]:
        if not c["approved_at"]:
            console.print(f"{c['connection']}: first writes wait for a yes (sync --yes).", style="yellow")
    runs = [
        (r["started_at"][:19], r["command"], ", ".join(r["connections"]), r["state"], r["error"] or "")
        for r in found["runs"]
    ]
    console.print(show.table("Last runs", ("started", "command", "connections", "state", "error"), runs))
    for title, rows_of in (
        ("In quarantine", found["quarantine"]),
        ("Parked", found["parked"]),
        ("In doubt", found["in_doubt"]),
    ):
        if rows_of:
            console.print(show.table(title, tuple(rows_of[0]), [tuple(r.values()) for r in rows_of], right=("number",)))


@app.command()
def explain(
    who: Annotated[str, typer.Argument(help="An e-mail address, a lead id, or the id of a record on any platform.")],
    json: Json = False,
) -> None:
    """One lead: its records, every value with who said so, why it won and over what, its hand-off, its writes."""
    from sync.insight import explain as explained

    with opened() as workspace, workspace.state.read() as tx:
        lead = explained.find(tx, who)
        if lead is None:
            raise Misconfigured("No lead has this address or id.", fix="Check it, or sync first.")
        found = explained.explain(tx, workspace, lead)
    if json:
        show.json(found)
    else:
        show_lead(found, show.stdout())


def show_lead(found: dict[str, Any], console: Console) -> None:
    """The explanation on the screen."""
    console.print(f"[bold]{escape(found['lead'])}[/bold]  stage {found['stage'] or '–'}, score {found['score']}")
    for line in found["qualified_why"]:
        console.print(f"  {escape(line)}")
    rows = [
        (f["field"], show.text(f["value"]), f["source"], f["since"][:19], f["rule"], _over(f["over"]))
        for f in found["fields"]
    ]
    console.print(show.table("Fields", ("field", "value", "who says so", "since", "rule", "over"), rows))
    records = [(r["record"], r["since"][:19], r["gone"] or "live") for r in found["records"]]
    console.print(show.table("Records", ("record", "known since", "state"), records))
    if found["deals"]:
        deals = [
            (
                d["deal"],
                show.text(d["values"].get("stage")),
                show.text(d["values"].get("amount")),
                show.text(d["values"].get("close_date")),
            )
            for d in found["deals"]
        ]
        console.print(show.table("Deals", ("deal", "stage", "amount", "close date"), deals))
    if found["activities"]:
        seen = [(a["at"][:16], a["type"], show.text(a["title"])) for a in found["activities"][:10]]
        console.print(show.table("Latest activities", ("at", "what", "title"), seen))
    for handoff in found["handoffs"]:
        console.print(
            f"[bold]Handed off[/bold] {handoff['at'][:19]} as {escape(handoff['object'])}/{escape(handoff['record'])}"
        )
    writes = [
        (w["created_at"][:19], f"{w['connection']}/{w['object']}", w["verb"], w["state"], ", ".join(w["after"]))
        for w in found["writes"]
    ]
    if writes:
        console.print(show.table("Writes", ("at", "where", "what", "state", "fields"), writes))
    for row in found["quarantine"]:
        console.print(f"in quarantine: {escape(row['reason'])} {escape(row['fix'])}", style="yellow")


def _over(over: list[dict[str, Any]]) -> str:
    return "; ".join(f"{show.text(o['value'])} ({o['source']})" for o in over)


@app.command()
def report(
    by: Annotated[str, typer.Option("--by", help="source, campaign, month or owner.")] = "source",
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write to a file instead of the screen.")] = None,
) -> None:
    """The funnel and its outcomes: leads, qualified, handed off, customers, rates, revenue, cost."""
    import orjson

    from sync.insight.report import funnel

    match by:
        case "source" | "campaign" | "month" | "owner":
            pass
        case _:
            raise Misconfigured(f"There is no report by {by!r}.", fix="Choose source, campaign, month or owner.")
    with opened() as workspace, workspace.state.read() as tx:
        found = funnel(tx, by, workspace.project.currency)
    written = found.csv() if csv else orjson.dumps(found.plain(), option=orjson.OPT_INDENT_2).decode() + "\n"
    if out is not None:
        out.write_text(written, encoding="utf-8")
    elif csv or json:
        typer.echo(written, nl=False)
    else:
        show_funnel(found, show.stdout())


def show_funnel(found: Any, console: Console) -> None:
    """The funnel on the screen."""
    columns = (
        found.by,
        "leads",
        "qualified",
        "handed off",
        "opportunities",
        "customers",
        "conversion",
        "win rate",
        "deal size",
        "revenue",
        "cost",
        "per customer",
    )
    rows = [
        (
            row.name,
            row.leads,
            row.qualified,
            row.handed_off,
            row.opportunities,
            row.customers,
            _percent(row.conversion),
            _percent(row.win_rate),
            show.text(row.deal_size and f"{row.deal_size:,.0f}"),
            f"{row.revenue:,.0f}",
            show.text(row.cost and f"{row.cost:,.0f}"),
            show.text(row.acquisition_cost and f"{row.acquisition_cost:,.0f}"),
        )
        for row in (*found.rows, found.total)
    ]
    console.print(show.table(f"Funnel by {found.by} ({found.currency})", columns, rows, right=columns[1:]))
    if found.left_out:
        console.print(f"{found.left_out} leads' revenue is in other currencies and left out.", style="yellow")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


# quarantine


def _open_rows(tx: Any, code: str = "") -> list[Any]:
    from sqlalchemy import select

    from sync.state.schema import quarantine as table

    query = select(table).where(table.c.state == "open").order_by(table.c.id)
    return list(tx.execute(query.where(table.c.code == code) if code else query).mappings())


@quarantine.command("list")
def quarantine_list(
    json: Json = False, code: Annotated[str, typer.Option("--code", help="Only those with this code.")] = ""
) -> None:
    """What was refused and waits for a correction."""
    with opened() as workspace, workspace.state.read() as tx:
        rows = [dict(row) for row in _open_rows(tx, code)]
    if json:
        show.json(rows)
        return
    console = show.stdout()
    columns = ("id", "direction", "where", "field", "code", "reason", "tries", "since")
    shown = [
        (str(r["id"]), r["direction"], _place(r), r["field"], r["code"], r["reason"], r["attempts"], r["first_at"][:19])
        for r in rows
    ]
    console.print(show.table(f"{len(rows)} in quarantine", columns, shown, right=("tries",)))


def _place(row: dict[str, Any]) -> str:
    return "/".join(part for part in (row["connection"], row["object"], row["record"] or row["lead"]) if part)


@quarantine.command("show")
def quarantine_show(id: Annotated[int, typer.Argument(help="The entry's number.")], json: Json = False) -> None:
    """One entry in full."""
    from sqlalchemy import select

    from sync.state.schema import quarantine as table

    with opened() as workspace, workspace.state.read() as tx:
        row = tx.execute(select(table).where(table.c.id == id)).mappings().one_or_none()
    if row is None:
        raise Misconfigured(f"There is no entry {id}.", fix="`closedloop quarantine list` shows them.")
    if json:
        show.json(dict(row))
        return
    console = show.stdout()
    for name, value in row.items():
        if value not in (None, ""):
            console.print(f"[bold]{name:12}[/bold] {escape(show.text(value))}")


@quarantine.command("replay")
def quarantine_replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Entries; none with --all or --code.")] = None,
    all: Annotated[bool, typer.Option("--all", help="All open entries.")] = False,
    code: Annotated[str, typer.Option("--code", help="All open entries with this code.")] = "",
) -> None:
    """Try again: refused records are read anew, refused writes are part of the next sync."""
    from sync.replay import replay

    with opened() as workspace:
        with workspace.state.read() as tx:
            chosen = list(ids or []) + ([row["id"] for row in _open_rows(tx, code)] if all or code else [])
        if not chosen:
            raise Misconfigured("Nothing is chosen.", fix="Name entries, or use --all or --code.")
        done = replay(workspace, chosen)
    console = show.stdout()
    console.print(f"{done['read']} records read anew, {done['planned']} writes released. `closedloop sync` goes on.")


@quarantine.command("dismiss")
def quarantine_dismiss(ids: Annotated[list[int], typer.Argument(help="Entries that need no more care.")]) -> None:
    """Close entries without trying again."""
    from sqlalchemy import update

    from sync.state.schema import quarantine as table

    with opened() as workspace, workspace.state.begin() as tx:
        done = tx.execute(update(table).where(table.c.id.in_(ids)).values(state="dismissed")).rowcount
    show.stdout().print(f"{done} dismissed.")


@state.command("migrate")
def state_migrate() -> None:
    """Bring the state to this program's schema (every command does so by itself)."""
    with opened() as workspace:
        show.stdout().print(f"The state is current ({workspace.state.dialect}).")
    raise typer.Exit(Exit.OK)
