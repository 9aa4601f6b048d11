"""Commands for what LinkedIn gives by hand: account lists out, lists and reports in, profiles for partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, linkedin, write_file
from sync.cli.run import Json, opened

if TYPE_CHECKING:
    from connectors.linkedin.csv_import import Odd
    from sync.absorb import Absorbed
    from sync.workspace import Workspace

File = Annotated[
    Path, typer.Argument(help="The file, comma-separated, with the names of its columns in its first line.")
]
Name = Annotated[str, typer.Option("--connection", help="The connection to LinkedIn, where there are several.")]


@linkedin.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Where the files are written; made where it is not there.")],
    of: Annotated[
        str, typer.Option("--of", help="companies (of CRMs), those of leads or qualified; people.")
    ] = "companies",
    json: Json = False,
) -> None:
    """Write account lists for Sales Navigator's upload (1,000 accounts, 20 MB each), or people for your own hands."""
    from connectors.linkedin.csv_files import account_lists, people_lists

    if of not in ("companies", "leads", "qualified", "people"):
        raise Misconfigured(f"There are no lists of {of!r}.", fix="Choose companies, leads, qualified or people.")
    with opened() as workspace:
        told = _told(workspace, of)
    made = people_lists(list(told.values())) if of == "people" else account_lists(list(told.values()))
    places = list(told)
    left_out = [{"record": places[number], "why": why} for number, why in made.left_out.items()]
    name, number = "people" if of == "people" else "accounts", len(made.files)
    written = [folder / f"{name}-{n}-of-{number}.csv" for n in range(1, number + 1)]
    if written:
        _folder(folder)
    for path, file in zip(written, made.files, strict=True):
        write_file(path, file, private=of == "people")
    if json:
        show.json({"files": [str(path) for path in written], "left_out": left_out, "altered": made.altered})
    else:
        _show_export(written, left_out, made.altered, len(told))
    raise typer.Exit(Exit.NEEDS_PERSON if left_out else Exit.OK)


def _told(workspace: Workspace, of: str) -> dict[str, Mapping[str, str | None]]:
    """The companies (or people) by where they are told, with their country's name."""
    from sync.byhand import companies, employers, people

    with workspace.state.read() as tx:
        match of:
            case "companies":
                told = companies(tx)
            case "people":
                told = people(tx)
            case _:
                told = employers(tx, qualified=of == "qualified")
    return {place: {**body, "country": _country(body.get("country"))} for place, body in told.items()}


def _country(code: Any) -> str:
    from mappings.places import country_name

    return country_name(str(code), "name") if code else ""


def _folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be made: {error.strerror}.", fix="Choose another folder.") from error


def _show_export(written: Sequence[Path], left_out: Sequence[Mapping[str, str]], altered: int, told: int) -> None:
    console = show.stdout()
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    console.print(f"{told - len(left_out)} of {told} are in the files.", markup=False)
    if altered:
        console.print(
            f"{altered} names begin as a formula does and got an apostrophe: Sales Navigator may not know them.",
            markup=False,
        )
    if left_out:
        rows = [(one["record"], one["why"]) for one in left_out]
        console.print(show.table("Left out", ("record", "why"), rows, whole=("record",)))


@linkedin.command("import")
def import_(
    file: File,
    kind: Annotated[str, typer.Option("--as", help="leads or accounts.")] = "leads",
    connection: Name = "",
    json: Json = False,
) -> None:
    """Take in people (or companies) out of a file; the next sync decides what follows. Tells each row left out."""
    from connectors.linkedin.csv_import import ACCOUNTS, LEADS, listed
    from sync.byhand import connection_of, take_in

    object = {"leads": LEADS, "accounts": ACCOUNTS}.get(kind)
    if object is None:
        raise Misconfigured(f"A file cannot be taken in as {kind!r}.", fix="Choose leads or accounts.")
    told = listed(_content(file), object)
    with opened() as workspace:
        counts = take_in(workspace, connection_of(workspace, "linkedin", connection), object, told.records)
    if json:
        show.json({**_counts(counts), "left_out": [{"line": one.line, "why": one.why} for one in told.odd]})
    else:
        _show_import(counts, told.odd)
    raise typer.Exit(Exit.NEEDS_PERSON if told.odd or counts.quarantined else Exit.OK)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}.", fix="Name another file.") from error


def _counts(counts: Absorbed) -> dict[str, int]:
    names = ("new", "changed", "unchanged", "filtered", "quarantined", "suppressed")
    return {name: getattr(counts, name) for name in names}


def _show_import(counts: Absorbed, odd: Sequence[Odd]) -> None:
    console = show.stdout()
    told = [f"{number} {name}" for name, number in _counts(counts).items() if number]
    console.print(f"{counts.pulled} rows: {', '.join(told) or 'none'}.", markup=False)
    if counts.quarantined:
        console.print("`closedloop quarantine list` tells what cannot be read in those.", markup=False)
    if odd:
        console.print(
            show.table("Left out", ("line", "why"), [(str(one.line), one.why) for one in odd], right=("line",))
        )


@linkedin.command("usage")
def usage(file: File, json: Json = False) -> None:
    """Show a usage report that an admin exported: what seats did, never what a lead did."""
    from connectors.linkedin.csv_files import usage_report

    rows = usage_report(_content(file))
    if json:
        show.json(rows)
        return
    columns = list(rows[0]) if rows else []
    show.stdout().print(
        show.table(f"{len(rows)} seats", columns, [[show.text(row.get(c)) for c in columns] for row in rows])
    )


@linkedin.command("profiles")
def profiles(connection: Name = "", json: Json = False) -> None:
    """Look up who on LinkedIn the CRM's people are (partners of Sales Navigator's platform only), and take it in."""
    from sync.byhand import connection_of, people_of, take_in

    with opened() as workspace:
        name = connection_of(workspace, "linkedin", connection)
        with workspace.state.read() as tx:
            asked = people_of(tx, workspace, _crm(workspace, name))
        found = workspace.connector(name).read("crm_profiles", "id", asked, ())
        counts = take_in(workspace, name, "crm_profiles", list(found.values()))
    if json:
        show.json({"asked": len(asked), "matched": len(found), **_counts(counts)})
    else:
        show.stdout().print(
            f"{len(found)} of {len(asked)} people of the CRM are matched; {counts.new} are new.", markup=False
        )


def _crm(workspace: Workspace, connection: str) -> Literal["salesforce", "hubspot"]:
    """The platform of the CRM that Sales Navigator syncs with. Raises Misconfigured where we do not speak with it."""
    from connectors.linkedin.partner import crm_of

    platform = crm_of(str(workspace.project.connections[connection].settings.get("crm_instance") or ""))
    match platform:
        case "salesforce" | "hubspot":
            return platform
        case _:
            raise Misconfigured(
                "Profiles are looked up by the records of Salesforce or HubSpot.",
                fix="Name the CRM's URN in settings.crm_instance.",
                connection=connection,
            )
