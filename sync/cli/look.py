"""Commands that only look: status, explain, report, quarantine; and the replay of what is in quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app, quarantine, state, write_file
from sync.cli.run import Json, opened


@app.command()
def status(
    online: Annotated[bool, typer.Option("--online", help="Ask the platforms for the calls that are left.")] = False,
    json: Json = False,
) -> None:
    """How the sync is doing: connections, streams, runs, and what waits for a person."""
    from sync.insight.status import quotas
    from sync.insight.status import status as read_status

    with opened() as workspace:
        with workspace.state.read() as tx:
            found = read_status(tx)
        if online:
            found["quotas"] = quotas(workspace)
        now = workspace.clock.now()
    if json:
        show.json(found)
        return
    show_status(found, now, show.stdout())


def show_status(found: dict[str, Any], now: datetime, console: Console) -> None:
    """The status on the screen."""
    leads = found["leads"]
    console.print(
        f"{leads['live']} leads, {leads['qualified']} qualified, {leads['handed_off']} handed off; "
        f"{leads['to_merge']} to merge, {leads['to_write']} to write."
    )
    _show_streams(found, now, console)
    for quota in found.get("quotas", ()):
        console.print(quota["connection"] + ": " + quota["told"], markup=False)
    runs = [
        (r["run"], _when(r["started_at"]), r["command"], ", ".join(r["connections"]), *_ended(r)) for r in found["runs"]
    ]
    columns = ("run", "started", "command", "connections", "state", "records", "error")
    if runs:
        console.print(show.table("Last runs", columns, runs, whole=("run",)))
    for title, rows_of in (
        ("In quarantine", found["quarantine"]),
        ("Parked", found["parked"]),
        ("In doubt", found["in_doubt"]),
        ("Frozen: mapped fields that the account has no longer", found["frozen"]),
    ):
        if rows_of:
            console.print(show.table(title, tuple(rows_of[0]), [tuple(r.values()) for r in rows_of], right=("number",)))
    for hook in found["webhooks"]:
        came = f"last webhook {_ago(hook['last_at'], now)}"
        console.print(f"{hook['connection']}: {came}, {hook['pending']} hints pending.", markup=False)
    if found["conversions_due"]:
        console.print(f"{found['conversions_due']} outcomes are still to be told.")
    if found["briefs_due"]:
        console.print(f"{found['briefs_due']} hand-off briefs are still to be written.")
    if number := found["briefs_withdrawn"]:
        console.print(f"{number} hand-off briefs were not written: whoever they are about was deleted there first.")


def _show_streams(found: dict[str, Any], now: datetime, console: Console) -> None:
    rows = [
        (c["connection"], o["object"], o["records"], "yes" if o["complete"] else "no", _ago(o["pulled_at"], now))
        for c in found["connections"]
        for o in c["objects"]
    ]
    columns = ("connection", "object", "records", "complete", "last pull")
    if not rows:
        console.print("Nothing was pulled yet. `closedloop backfill` begins.")
        return
    console.print(show.table("Streams", columns, rows, right=("records",)))
    for c in found["connections"]:
        account = f" {c['account']} ({c['account_id']})" if c["account_id"] else ""
        console.print(f"{c['connection']}:{account}", markup=False, end="")
        if c["approved_at"]:
            console.print(f", writes allowed since {c['approved_at'][:19]}")
        else:
            console.print(", first writes wait for a yes (sync --yes)", style="yellow")


def _ago(at: str | None, now: datetime) -> str:
    if not at:
        return "never"
    seconds = max(0, int((now - datetime.fromisoformat(at)).total_seconds()))
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return f"{seconds} s ago"


def _ended(run: dict[str, Any]) -> tuple[str, str, str | None]:
    return run["state"], _sums(run["counts"]), run["error"]


def _sums(counts: dict[str, Any]) -> str:
    """What a run pulled and wrote, in a few words."""
    pulled, written = (
        sum(row[state] for objects in counts.get(part, {}).values() for row in objects.values())
        for part, state in (("pull", "pulled"), ("write", "applied"))
    )
    return f"{pulled} pulled, {written} written"


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
    short = _short_names(record["record"] for record in found["records"])
    records = [
        (short(r["record"]), r["record"].rsplit("/", 1)[-1], r["since"][:19], r["gone"] or "live")
        for r in found["records"]
    ]
    console.print(show.table("Records", ("record", "id", "known since", "state"), records))
    rows = [
        (f["field"], show.text(f["value"]), short(f["source"]), _when(f["since"]), f["rule"], _over(f["over"], short))
        for f in found["fields"]
    ]
    columns = ("field", "value", "who says so", "since", "rule", "over")
    whole = () if console.width < NARROW else ("field", "who says so", "since")
    console.print(show.table("Fields", columns, rows, whole=whole))
    for field in found["fields"]:
        for other in field["beside"]:
            told = f"{short(other['source'])} keeps {show.text(other['value'])}, another of their addresses."
            console.print(show.line(told), markup=False)
    _show_outcomes(found, short, console)
    _show_writes(found, console)
    for row in found["quarantine"]:
        place = f"{_place(row)}/{row['field']}".rstrip("/")
        told = f"In quarantine: {place}: {row['reason'].rstrip('.')}. {row['fix']}".rstrip()
        console.print(show.line(told), style="yellow", markup=False)
    for row in found["conflicts"]:
        options = "; ".join(show.text(option) for option in row["options"])
        what = f"{_place(row)}/{row['field']}".rstrip("/")
        told = f"Parked: {what}: a person decides between {options} (closedloop conflicts show {row['id']})"
        console.print(show.line(told), style="yellow", markup=False)


def _when(at: str) -> str:
    return at[:16].replace("T", " ")


def _short_names(records: Iterable[str]) -> Callable[[str], str]:
    """Names a record by its connection and object alone where the lead has only one such; other things by theirs."""
    places = Counter(name.rpartition("/")[0] for name in records)

    def short(name: str) -> str:
        place, _, id = name.rpartition("/")
        if not place:
            return name
        return place if places[place] <= 1 else f"{place} …{id[-6:]}"

    return short


def _over(over: list[dict[str, Any]], short: Callable[[str], str]) -> str:
    return "; ".join(f"{show.text(o['value'])} ({short(o['source'])})" for o in over)


def _show_outcomes(found: dict[str, Any], short: Callable[[str], str], console: Console) -> None:
    if found["deals"]:
        deals = [
            (short(d["deal"]), d["role"], *(show.text(d["values"].get(n)) for n in ("stage", "amount", "close_date")))
            for d in found["deals"]
        ]
        console.print(show.table("Deals", ("deal", "role", "stage", "amount", "close date"), deals))
    for deal in found["deals"]:
        for copy in deal["copies"]:
            console.print(f"{escape(show.line(short(deal['deal'])))} is shown as {escape(show.line(copy))}")
    if found["activities"]:
        seen = [(a["at"][:16], a["connection"], a["type"], show.text(a["title"])) for a in found["activities"][:10]]
        console.print(show.table("Latest activities", ("at", "connection", "what", "title"), seen))
    for handoff in found["handoffs"]:
        place = "/".join((handoff["connection"], handoff["object"], handoff["record"]))
        console.print(
            f"[bold]Handed off[/bold] {handoff['at'][:19]} as {escape(place)}, brief {handoff['brief_state']}"
        )
        for line in handoff["brief"].splitlines():
            console.print(f"  │ {show.printable(line)}", style="dim", markup=False)


def _show_writes(found: dict[str, Any], console: Console) -> None:
    writes = [
        (w["created_at"][:19], f"{w['connection']}/{w['object']}", w["verb"], w["state"], ", ".join(w["after"]))
        for w in found["writes"]
    ]
    if writes:
        console.print(show.table("Writes", ("at", "where", "what", "state", "fields"), writes))


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
        found = funnel(tx, by, workspace.project.currency, workspace.project.channels)
    written = found.csv() if csv else orjson.dumps(found.plain(), option=orjson.OPT_INDENT_2).decode() + "\n"
    if out is not None:
        write_file(out, written)
        show.stderr().print(f"Written to {out}.", markup=False)
    elif csv or json:
        show.raw_text(written) if csv else show.raw_json(written.encode())
    else:
        show_funnel(found, show.stdout())


_COUNTS = ("leads", "qualified", "handed\noff", "deals", "customers", "conv.", "win\nrate")
_MONEY = ("deal\nsize", "revenue", "cost", "per\ncustomer")
NARROW = 120
"""Columns of a terminal below which wide tables are cut in two."""


def show_funnel(found: Any, console: Console) -> None:
    """The funnel on the screen, and below it why deals were lost."""
    visited = found.total.visits is not None
    counted = (("visits",) if visited else ()) + _COUNTS
    rows = [(row.name, _counted(row, visited), _earned(row)) for row in (*found.rows, found.total)]
    funnel, money = f"Funnel by {found.by}", f"Revenue and cost by {found.by} ({found.currency})"
    if console.width < NARROW:
        _figures(funnel, (found.by, *counted), [(name, *counts) for name, counts, _ in rows], console)
        _figures(money, (found.by, *_MONEY), [(name, *earned) for name, _, earned in rows], console)
    else:
        columns = (found.by, *counted, *_MONEY)
        _figures(f"{funnel} ({found.currency})", columns, [(name, *c, *earned) for name, c, earned in rows], console)
    if found.total.lost_reasons:
        lost = ", ".join(f"{reason} {number}" for reason, number in found.total.lost_reasons.most_common(8))
        console.print(show.line(f"Lost {found.total.lost}: {lost}"), markup=False)
    if found.left_out:
        console.print(f"{found.left_out} leads' revenue is in other currencies and left out.", style="yellow")
    if found.idle:
        console.print(f"Of the cost {_amount(found.idle)} went to campaigns that brought nobody.")


def _figures(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], console: Console) -> None:
    made = show.table(title, columns, rows, right=columns[1:], whole=columns[1:])
    if console.width < NARROW:
        made.box = box.SIMPLE_HEAD
    console.print(made)


def _counted(row: Any, visited: bool) -> tuple[Any, ...]:
    visits = (("–" if row.visits is None else row.visits),) if visited else ()
    counts = (*visits, row.leads, row.qualified, row.handed_off, row.opportunities, row.customers)
    return (*counts, _percent(row.conversion), _percent(row.win_rate))


def _earned(row: Any) -> tuple[str, ...]:
    return tuple(_amount(value) for value in (row.deal_size, row.revenue, row.cost, row.acquisition_cost))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _amount(amount: Decimal | None) -> str:
    return f"{amount:,.0f}" if amount else "–"


@app.command()
def goals(json: Json = False) -> None:
    """What marketing and sales promised each other: the last period, and this one so far."""
    from sync.insight.goals import standings

    with opened() as workspace, workspace.state.read() as tx:
        found = standings(tx, workspace)
        currency = workspace.project.currency
    if json:
        show.json([one.plain() for one in found])
    elif found:
        show_goals(found, currency, show.stdout())
    else:
        show.stdout().print("The project has no goals. Write some under `goals:` in closedloop.yaml.")


def show_goals(found: Sequence[Any], currency: str, console: Console) -> None:
    """The goals on the screen."""
    rows = []
    for one in found:
        goal, bound = one.goal, "at least" if one.goal.at_most is None else "at most"
        target = goal.at_least if goal.at_most is None else goal.at_most
        value = "–" if one.value is None else _figure(goal, one.value)
        share = f" of {one.of}" if one.of is not None else ""
        rows.append((goal.title, one.period.name, f"{bound} {_figure(goal, target)}", value + share, one.state))
    columns = ("goal", "period", "promised", "is", "stands")
    console.print(show.table(f"Goals ({currency})", columns, rows, right=("is",)))


def _figure(goal: Any, value: Any) -> str:
    return f"{float(value):.1%}" if goal.is_rate else f"{float(value):,.0f}"


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
    if not rows:
        console.print(f"Nothing is in quarantine{f' with the code {code}' if code else ''}.", markup=False)
        return
    columns = ("id", "direction", "where", "field", "code", "reason", "tries", "since")
    shown = [
        (str(r["id"]), r["direction"], _place(r), r["field"], r["code"], r["reason"], r["attempts"], r["first_at"][:19])
        for r in rows
    ]
    console.print(show.table(f"{len(rows)} in quarantine", columns, shown, right=("tries",)))
    console.print("`closedloop quarantine show ID` says what to do.")


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


def _be_there(tx: Any, ids: Collection[int], *states: str) -> None:
    """Raises Misconfigured where one of these entries is not there, or in none of these states any more."""
    from sqlalchemy import select

    from sync.state.schema import quarantine as table

    query = select(table.c.id).where(table.c.id.in_(ids), table.c.state.in_(states))
    missing = sorted(set(ids) - set(tx.execute(query).scalars()))
    if missing:
        numbers = ", ".join(map(str, missing))
        raise Misconfigured(
            f"There is no entry {numbers} that waits. Nothing was done.", fix="`closedloop quarantine list` shows them."
        )


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
            _be_there(tx, ids or [], "open", "replaying", "dismissed")
            chosen = list(ids or []) + ([row["id"] for row in _open_rows(tx, code)] if all or code else [])
        if not chosen and (all or code):
            show.stdout().print("There is none to try again.")
            return
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
        _be_there(tx, ids, "open", "replaying")
        done = tx.execute(update(table).where(table.c.id.in_(ids)).values(state="dismissed")).rowcount
    show.stdout().print(f"{done} dismissed.")


@state.command("migrate")
def state_migrate() -> None:
    """Bring the state to this program's schema (every command does so by itself)."""
    with opened() as workspace:
        show.stdout().print(f"The state is current ({workspace.state.dialect}).")
    raise typer.Exit(Exit.OK)


@state.command("compact")
def state_compact() -> None:
    """Write the database's tables anew, so that nothing of what was deleted stays in its files."""
    with opened() as workspace:
        done = workspace.state.compact()
    show.stdout().print("Compacted." if done else "Other programs hold the database: stop them, then try again.")
    raise typer.Exit(Exit.OK if done else Exit.STATE)


@state.command("rekey")
def state_rekey(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Take away all keys but the first, once every process has that.")
    ] = False,
) -> None:
    """Encrypt what is kept of log-ins under a new key. The one before still opens, until --drop-old."""
    from sync.state.rekey import drop_others, rekey

    with opened() as workspace:
        done = (drop_others if drop_old else rekey)(workspace.state, workspace.folder)
        clean = workspace.state.compact()
    show.rekeyed(done, clean, show.stdout(), dropped=drop_old)
    raise typer.Exit(Exit.NEEDS_PERSON if done.lost else Exit.OK)
