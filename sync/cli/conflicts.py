"""Commands for what only a person can decide: conflicts, duplicates, and links that are wrong."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from sync.cli import show
from sync.cli.app import app, conflicts, duplicates
from sync.cli.run import Json, opened

Id = Annotated[int, typer.Argument(help="The question's number.")]
Lead = Annotated[str, typer.Argument(help="Lead id, e-mail address or record, as for `explain`.")]


@conflicts.command("list")
def conflicts_list(json: Json = False) -> None:
    """The questions that wait for a person."""
    from sync.conflicts import listed

    with opened() as workspace, workspace.state.read() as tx:
        rows = listed(tx)
    if json:
        show.json(rows)
        return
    if not rows:
        show.stdout().print("Nothing is to be decided.")
        return
    shown = [(str(row["id"]), row["kind"], _about(row), _options(row), row["first_at"][:19]) for row in rows]
    columns = ("id", "kind", "about", "between", "since")
    console = show.stdout()
    console.print(show.table(f"{len(rows)} to decide", columns, shown))
    console.print("`closedloop conflicts show ID` says what is known, and how it is decided.")


def _about(row: dict[str, Any]) -> str:
    if row["kind"] == "field":
        return f"{row['field']} of {row['lead']}"
    if row["kind"] == "write":
        return f"{row['field']} {row['lead']} on {row['connection']}"
    return f"{row['connection']}/{row['object']}/{row['record']}"


def _options(row: dict[str, Any]) -> str:
    if row["kind"] == "write":
        return "do it or leave it"
    if row["kind"] == "field":
        return "; ".join(f"{show.text(option['value'])} ({option['source']})" for option in row["options"])
    return "; ".join(dict.fromkeys(option["lead"] for option in row["options"]))


_WHY = {
    "restored": "; asked because the state was restored",
    "in_doubt": "; asked because nobody knows what came of a write",
    "older": "; asked because a record is told older than it was known: restored there, perhaps",
    "rolled_back": "; by what was said of a platform that was rolled back",
}
"""By `sync.parked`: why a question is asked whatever the rules."""


@conflicts.command("show")
def conflicts_show(id: Id, json: Json = False) -> None:
    """One question with all that is known for its answer."""
    from sync.conflicts import found, ways

    with opened() as workspace, workspace.state.read() as tx:
        row = found(tx, id)
        answers = ways(tx, row)
    if json:
        show.json(row)
        return
    console = show.stdout()
    told = f"{_about(row)}: {row['state']}, since {row['first_at'][:19]}{_WHY.get(row['why'], '')}"
    console.print(f"[bold]{row['kind']}[/bold] {escape(told)}")
    for option in row["options"]:
        console.print("  " + escape(show.line(_option(row["kind"], option))))
    if row["decision"]:
        told = ", ".join(f"{name} {show.text(value)}" for name, value in row["decision"].items() if name != "heard")
        console.print(f"  decided: {escape(told)}")
    if row["state"] == "open":
        told = f"`closedloop conflicts resolve {id}` decides it, with one of {', '.join(answers)} (--help says which)."
        console.print(told, markup=False)


def _option(kind: str, option: dict[str, Any]) -> str:
    if kind == "write":
        place = "/".join(filter(None, (option["object"], option["record"])))
        return f"{option['verb']} {place}: {option['why'] or 'planned'}; the restored state cannot know what came of it"
    if kind == "field":
        return f"{show.text(option['value'])}  said by {option['source']} since {option['at'][:19]}"
    kind_of_key, value = option.get("by") or ("the record", "")
    return f"{option['lead']}  by {kind_of_key} {value}".rstrip()


@conflicts.command("resolve")
def conflicts_resolve(
    id: Id,
    take: Annotated[str, typer.Option("--take", help="The source whose value it is; or the lead whose record.")] = "",
    value: Annotated[str | None, typer.Option("--value", help="A value of your own.")] = None,
    new: Annotated[bool, typer.Option("--new", help="The record is a person of its own.")] = False,
    same: Annotated[bool, typer.Option("--same", help="All these leads are one person.")] = False,
    apart: Annotated[bool, typer.Option("--apart", help="They are not the same person, and share what they share.")] = (
        False
    ),
    always: Annotated[bool, typer.Option("--always", help="It holds for good, whatever is said later.")] = False,
    write: Annotated[bool, typer.Option("--write", help="The write that was withheld is to be done.")] = False,
    leave: Annotated[bool, typer.Option("--leave", help="It is not to be done.")] = False,
) -> None:
    """Decide a question. Writes nothing to any platform: the next sync does."""
    from sync.conflicts import Answer, answer

    with opened() as workspace, workspace.state.begin() as tx:
        told = answer(tx, workspace, id, Answer(take, value, new, same, apart, always, write, leave))
    show.stdout().print(told, markup=False)


@app.command()
def unlink(record: Annotated[str, typer.Argument(help="connection/object/id, as `explain` names it.")]) -> None:
    """Cut a wrong link: the record stands alone again, as a lead of its own."""
    from sync.unlink import unlink as cut_off

    with opened() as workspace, workspace.state.begin() as tx:
        cut = cut_off(tx, workspace, record)
    console = show.stdout()
    console.print(f"{cut.record} is lead {cut.lead} now, and no longer {cut.left}.", markup=False)
    console.print("What was written elsewhere while they were one: `closedloop undo --lead` with either of them.")
    console.print(f"To take it back: `closedloop conflicts resolve {cut.question} --same`.")


@duplicates.command("list")
def duplicates_list(
    limit: Annotated[int, typer.Option("--limit", min=0, help="So many at most.")] = 50, json: Json = False
) -> None:
    """Leads that are probably one person, the most probable first, with the evidence."""
    from sync.duplicates import listed, similarity

    with opened() as workspace, workspace.state.read() as tx:
        rows = listed(tx)
    if json:
        show.json(rows[:limit])
        return
    shown = [(*row["leads"], str(row["score"]), _evidence(row)) for row in rows[:limit]]
    columns = ("lead", "lead", "score", "the same")
    console = show.stdout()
    if rows:
        console.print(show.table(f"{len(rows)} probable duplicates", columns, shown))
    else:
        console.print("No two leads look like one person.")
    if similarity() is None:
        show.stderr().print(
            "Similar names are not looked for: `pip install closedloop[duplicates]` adds that.", markup=False
        )


def _evidence(row: dict[str, Any]) -> str:
    return "; ".join(f"{item['kind'].replace('_', ' ')} {item['value']}" for item in row["evidence"])


@duplicates.command("link")
def duplicates_link(one: Lead, other: Lead) -> None:
    """They are one person: make two leads one. Writes nothing to any platform: the next sync does."""
    from sync.duplicates import link

    with opened() as workspace, workspace.state.begin() as tx:
        keep = link(tx, workspace, one, other)
    show.stdout().print(
        f"Both are lead {keep} now. A record that is somebody else's: `closedloop unlink`.", markup=False
    )


@duplicates.command("dismiss")
def duplicates_dismiss(one: Lead, other: Lead) -> None:
    """They are not one person: do not list them again."""
    from sync.duplicates import dismiss

    with opened() as workspace, workspace.state.begin() as tx:
        first, second = dismiss(tx, workspace, one, other)
    show.stdout().print(f"{first} and {second} stay two leads.", markup=False)
