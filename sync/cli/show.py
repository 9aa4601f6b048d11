"""How things look on the screen: consoles, tables, plans, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

WIDTH = 140
"""Columns, where nobody's terminal says otherwise."""


class Screen(Console):
    """A console on which nothing but printable text is drawn, whatever a lead is called. rich wants a class here."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **how)


def stdout() -> Console:
    return Screen(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)


def stderr() -> Console:
    return Screen(file=sys.stderr, highlight=False)


def json(value: Any) -> None:
    """Print `value` as JSON."""
    raw_json(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str))


def raw_json(written: bytes) -> None:
    """Print JSON as it is, but for letters that would move a terminal's cursor or turn text round: those are escaped,
    which says the same."""
    told = written.decode()
    if not told.replace("\n", "").isprintable():
        told = "".join(letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in told)
    sys.stdout.write(told.rstrip("\n") + "\n")


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def raw_text(written: str) -> None:
    """Print text as it is, for a program; on a terminal without control characters."""
    sys.stdout.write(printable(written) if sys.stdout.isatty() else written)


def text(value: Any) -> str:
    """A value as a person reads it: money with its currency, lists with commas, blanks as a dash."""
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, Mapping) and set(value) == {"amount", "currency"}:
        return line(f"{value['amount']} {value['currency']}")
    if isinstance(value, list):
        return line(", ".join(map(str, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return line(str(value))


def line(value: str) -> str:
    """The same, in one line: what a person is called must not look like a line of ours."""
    return printable(value).replace("\n", "⏎")


def printable(value: str) -> str:
    """Text without control characters: a lead's name must not move the terminal's cursor."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in value
    )


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> Table:
    """A table; `right` names the columns of numbers, `whole` those that are never broken into lines."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    numbers, unbroken = set(right), set(whole)
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in numbers else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in unbroken)
    for row in rows:
        made.add_row(*(escape(printable(cell) if isinstance(cell, str) else text(cell)) for cell in row))
    return made


STATES = ("applied", "unchanged", "held", "quarantined", "parked")


def counts_table(counts: Mapping[str, Any]) -> Table | None:
    """What a run pulled and wrote, each record in exactly one state; None when it did neither."""
    found = [
        (verb, f"{connection}/{object}", row[verb], row)
        for part, verb in (("pull", "pulled"), ("write", "planned"))
        for connection, objects in counts.get(part, {}).items()
        for object, row in objects.items()
        if row[verb]
    ]
    if not found:
        return None
    states = [*STATES, "suppressed"] if any(row.get("suppressed") for *_, row in found) else list(STATES)
    rows = [(*start, *(row.get(state, 0) for state in states)) for *start, row in found]
    return table("", ("", "object", "records", *states), rows, right=("records", *states))


def report(run: Any, console: Console) -> None:
    """The end of a run, in a few lines."""
    made = counts_table(run.counts)
    if made is not None:
        console.print(made)
    calls = ", ".join(f"{name} {number}" for name, number in run.calls.items() if number)
    handed = f" {run.counts['handoffs']} handed off." if run.counts.get("handoffs") else ""
    console.print(f"{run.command} {run.state} in {run.seconds:.1f} s.{handed} API calls: {calls or 'none'}.")
    held(run.held, console)
    for connection, objects in run.frozen.items():
        for object, fields in objects.items():
            what = f"{connection}/{object}: the account has no longer {', '.join(fields)}: frozen, the rest goes on."
            console.print(printable(what), style="yellow", markup=False)
    for error in run.errors:
        console.print(str(error), style="red", markup=False)


def operations(planned: Sequence[Any], console: Console, limit: int) -> None:
    """A plan, record by record and field by field: at most `limit` of each object."""
    groups: dict[str, list[Any]] = {}
    for op in planned:
        groups.setdefault(f"{op.connection}/{op.object}", []).append(op)
    for name, group in groups.items():
        console.print(f"\n[bold]{escape(name)}[/bold]")
        for op in group[:limit]:
            _operation(op, console)
        if len(group) > limit:
            console.print(f"  … and {len(group) - limit} more (--limit, --json or --out show them)")


def plan(made: Any, console: Console, limit: int) -> None:
    """A plan: its operations, at most `limit` of each object, and their numbers."""
    operations(made.operations, console, limit)
    known = ("create", "update", "archive", "erase")
    there = {verb for objects in made.counts.values() for verbs in objects.values() for verb in verbs}
    verbs = [verb for verb in known if verb in there]
    rows = [
        (f"{connection}/{object}", *(numbers.get(verb, 0) for verb in verbs))
        for connection, objects in made.counts.items()
        for object, numbers in objects.items()
    ]
    console.print(table("", ("object", *verbs), rows, right=verbs))


def left(found: Sequence[Any], console: Console, limit: int) -> None:
    """What an undo leaves as it is, and why."""
    rows = [("/".join(filter(None, (o.connection, o.object, o.record))), o.field, o.why) for o in found[:limit]]
    if rows:
        console.print(table(f"{len(found)} left as they are", ("record", "field", "why"), rows))
    if more := len(found) - len(rows):
        console.print(f"… and {more} more (--limit or --json show them)")


def _operation(op: Any, console: Console) -> None:
    why = f"  {line(op.why)}" if op.why else ""
    record = escape(line(op.record or "new"))
    console.print(f"  {op.verb} [bold]{record}[/bold]  [dim]{escape(op.lead)}[/dim]{escape(why)}")
    for change in op.changes:
        old, new = escape(text(change.old)), escape(text(change.new))
        reason = f"  [dim]{escape(line(change.reason))}[/dim]" if change.reason else ""
        console.print(f"    {escape(line(change.remote))}: {old} → [green]{new}[/green]{reason}")


def waiting(found: Mapping[str, Any], console: Console) -> None:
    """First writes that wait for a yes."""
    for name, wait in found.items():
        console.print(
            f"\n[bold]{escape(name)}[/bold] ({escape(wait.account_name)}): nothing has been written there yet."
        )
        leads = wait.matched + wait.unmatched
        console.print(f"  {wait.matched} of {leads} leads stand there already and are linked.")
        for verb, numbers in (("create", wait.creates), ("update", wait.updates)):
            for object, number in numbers.items():
                console.print(f"  would {verb} [bold]{number}[/bold] {escape(object)}")
        console.print("  Automations there that start on new or changed records will see them.", style="yellow")
        operations(wait.sample, console, 5)


def held(found: Mapping[str, Any], console: Console) -> None:
    """Connections that a guard holds: why, what they would have been sent, how to let it through."""
    for name, hold in found.items():
        console.print(f"\n[bold]{escape(name)}[/bold] is held, nothing was written there: {escape(hold.why)}.")
        for object, verbs in hold.planned.items():
            for verb, number in verbs.items():
                console.print(f"  would {verb} [bold]{number}[/bold] {escape(object)}")
        operations(hold.sample, console, 5)
        console.print(hold.fix, markup=False)


class Watch:
    """Live progress on a terminal: what is under way, how fast, how long still. Says nothing elsewhere."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = stderr()
        self._on = self._console.is_terminal
        rate = TextColumn("{task.fields[rate]}")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate)
        self._bars = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._tasks: dict[str, Any] = {}
        self._began: dict[str, float] = {}

    def __enter__(self) -> Watch:
        if self._on:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            self._bars.stop()

    def stage(self, connection: str, name: str) -> None:
        """A stage begins."""

    def pulled(self, connection: str, object: str, records: int, total: int | None) -> None:
        self._move(f"pull {connection}/{object}", records, total)

    def decided(self, leads: int) -> None:
        done = int(self._bars.tasks[self._tasks["decide"]].completed) if "decide" in self._tasks else 0
        self._move("decide", done + leads, None)

    def pushed(self, connection: str, object: str, done: int, total: int) -> None:
        self._move(f"write {connection}/{object}", done, total)

    def _move(self, name: str, done: int, total: int | None) -> None:
        if not self._on:
            return
        now = time.monotonic()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, rate="")
            self._began[name] = now
        seconds = max(now - self._began[name], 0.001)
        self._bars.update(self._tasks[name], completed=done, total=total, rate=f"{done / seconds:,.0f}/s")


def rebaselined(done: Any, console: Console) -> None:
    """What came of taking a restored state up again."""
    if done.report is not None:
        report(done.report, console)
    if done.forgotten:
        console.print(f"Forgotten again: {done.forgotten}, who had been forgotten after the backup was made.")
    for kind, number in done.questions.items():
        console.print(f"To decide: {number} ({_QUESTIONS[kind]}).")
    if done.taken_up:
        console.print("The state may write again: `closedloop sync` goes on.")
    else:
        console.print("Not taken up yet, and nothing is written: run the same command again.")


_QUESTIONS = {
    "field": "values that differ: `closedloop conflicts list`",
    "write": "people missing somewhere, or to be put away: `closedloop conflicts list`",
    "written already": "briefs and outcomes that may be there: `closedloop quarantine list --code restored`",
}


def rekeyed(done: Any, clean: bool, console: Console, *, dropped: bool) -> None:
    """What came of changing the keys, and what is left to do."""
    console.print(f"Encrypted anew: {done.sealed}. All lies under the first key in {done.place}.", markup=False)
    for connection, _ in done.lost:
        console.print(f"No key opens a token of {connection}: connect it again.", markup=False)
    if done.others and dropped:
        console.print(f"Take the other keys out of {done.place}, and give every process the first alone.", markup=False)
    elif done.others:
        fix = "`closedloop state rekey --drop-old`"
        console.print(f"The key before still opens. When every process has the new one: {fix}.", markup=False)
    if not clean:
        console.print("Other programs use the database, so what lay under the old key is still in its file.")
        console.print("Stop them and run `closedloop state compact`.", markup=False)


def scopes(health: Any, console: Console) -> None:
    """Scopes that an account lacks, and those that it has and nothing here needs."""
    for scope in health.missing_scopes:
        console.print(f"  missing scope: {scope}", style="yellow", markup=False)
    for scope in health.extra_scopes:
        console.print(f"  more than needed: the scope {scope}; take it from the app or the token", markup=False)
