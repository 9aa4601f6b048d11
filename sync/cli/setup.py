"""Commands that set things up: init, check, connectors, sandbox."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from config.errors import Misconfigured
from sync.cli import show
from sync.cli.app import Exit, app, exit_code, folder, options
from sync.cli.run import Json, opened

if TYPE_CHECKING:
    from rich.console import Console

    from connectors.manifest import Manifest


Connect = Annotated[
    bool,
    typer.Option("--connect", help="Of the sandboxes give the OAuth app only: `closedloop connect` does the rest."),
]


@app.command()
def init(
    platform: Annotated[
        list[str] | None, typer.Option("--platform", "-p", help="A platform to connect; repeat it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Connect every platform there is a connector for.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Connect to sandboxes of one's own instead of real accounts.")
    ] = False,
    connect: Connect = False,
) -> None:
    """Write a commented closedloop.yaml and one mapping per connection."""
    from connectors import registry
    from sync import scaffold

    place = options.folder or Path.cwd()
    chosen = scaffold.ready() if every else platform or _ask(registry.names())
    connections = scaffold.names(chosen)
    if sandbox:
        scaffold.refuse_existing(place, connections, force=force)
        connections = _sandboxes(place, list(connections), app=connect)
    try:
        written = scaffold.write(place, connections, force=force)
    except OSError as error:
        raise Misconfigured(f"{place} cannot be written: {error.strerror}.", fix="Choose another folder.") from error
    console = show.stdout()
    for path in written:
        console.print(f"wrote {path.relative_to(place) if path.is_relative_to(place) else path}", markup=False)
    waiting = scaffold.unconnected(connections)
    if sandbox:
        command = f"closedloop sandbox {' '.join(connections)} --state {place / 'sandboxes'} --fill 300"
        steps = [*(f"closedloop connect {name}" for name in waiting), "closedloop check --online"]
        for heading, lines in (("Start the sandboxes:", [command]), ("Then, in another terminal:", steps)):
            console.print(f"\n{heading}")
            for line in lines:
                console.print(f"  {line}", markup=False, soft_wrap=True)
        return
    if blanks := scaffold.blanks(connections):
        console.print("\nFill in, in closedloop.yaml:")
        for member in blanks:
            console.print(f"  {member}", markup=False)
    connecting = ", run `closedloop connect` for " + ", ".join(waiting) if waiting else ""
    console.print(f"\nSet these{connecting}, then run `closedloop check --online`:", markup=False, soft_wrap=True)
    for name in scaffold.variables(connections):
        console.print(f"  export {name}=…")


def _sandboxes(place: Path, platforms: list[str], *, app: bool) -> dict[str, Any]:
    """Connections to sandboxes that are not running: their ports and what they hold wait in `sandboxes/`."""
    from connectors import registry
    from sync import scaffold

    with ExitStack() as stack:
        made = {name: stack.enter_context(registry.platform(name).sandbox()) for name in platforms}
        found = {name: scaffold.sandbox_connection(place, name, one, app=app) for name, one in made.items()}
        save_sandboxes(place / "sandboxes", list(made.values()))
    return found


def _ask(known: list[str]) -> list[str]:
    show.stdout().print("Which platforms? " + ", ".join(known))
    answer = typer.prompt("Names, with commas between them", default=",".join(known))
    return [name.strip() for name in answer.split(",") if name.strip()]


@app.command()
def check(
    online: Annotated[bool, typer.Option("--online", help="Test the accounts and their live fields too.")] = False,
    json: Json = False,
) -> None:
    """Find every mistake of the project at once, with file, line, column and a suggestion."""
    from sync import checkup

    found = checkup.check(folder())
    if online and found.good:
        with opened() as workspace:
            found = checkup.check_online(workspace)
    if json:
        show.json(_findings_json(found))
    else:
        _show_findings(found, online)
    if found.problems:
        raise typer.Exit(Exit.USAGE)
    for error in found.errors.values():
        raise typer.Exit(exit_code(error))


def _findings_json(found: Any) -> dict[str, Any]:
    return {
        "good": found.good,
        "problems": [
            {"file": p.file, "line": p.line, "column": p.column, "message": p.message, "hint": p.hint}
            for p in found.problems
        ],
        "accounts": {
            name: {
                "id": h.account_id,
                "name": h.account_name,
                "missing_scopes": h.missing_scopes,
                "extra_scopes": h.extra_scopes,
                "clock_ahead": h.ahead,
            }
            for name, h in found.accounts.items()
        },
        "errors": {name: str(error) for name, error in found.errors.items()},
    }


def _show_findings(found: Any, online: bool) -> None:
    from sync.timekeeping import difference

    console = show.stdout()
    for name, health in found.accounts.items():
        quota = "; ".join(f"{q.used} of {q.limit} calls used per {q.window}" for q in health.quotas)
        account = f"{escape(health.account_name)} ({escape(health.account_id)})"
        console.print(f"[green]✓[/green] {escape(name)}: {account} {quota}".rstrip())
        show.scopes(health, console)
        for note in filter(None, (difference(health), *health.notes)):
            console.print(f"  {note}", style="yellow", markup=False)
    for error in found.errors.values():
        console.print(f"✗ {error}", style="red", markup=False)
    for problem in found.problems:
        console.print(str(problem), markup=False, soft_wrap=True)
    if found.good:
        console.print(
            "No mistakes found." if online else "No mistakes found in the files. --online tests the accounts."
        )
    elif found.problems:
        number = len(found.problems)
        console.print(f"{number} mistake{'s' if number > 1 else ''}.", style="red")


@app.command()
def connectors(
    rules: Annotated[bool, typer.Option("--rules", help="Say what each rule of the quality scale promises.")] = False,
    json: Json = False,
) -> None:
    """The installed connectors: what each reads and writes, and which rules of the quality scale it keeps."""
    from connectors import conformance, registry

    facts = [registry.facts(name) for name in registry.names()]
    if json:
        show.json([{**fact.model_dump(mode="json"), "quality": _quality(fact)} for fact in facts])
        return
    console = show.stdout()
    for fact in facts:
        show_connector(fact, console)
    if rules:
        console.print("[bold]The rules[/bold]")
        for rule in conformance.RULES:
            console.print(f"  {rule:13} {conformance.promise(rule)}", markup=False)


def show_connector(facts: Manifest, console: Console) -> None:
    """A platform: its objects, its log-ins, and its place on the quality scale with the reason for each gap."""
    quality = _quality(facts)
    console.print(f"[bold]{escape(facts.title)}[/bold] ({facts.name}), API {facts.api}, by {facts.sdk}")
    reads = ", ".join(name for name, object in facts.objects.items() if object.pull)
    writes = ", ".join(name for name, object in facts.objects.items() if object.push)
    modes = ", ".join(f"{name} (closedloop connect)" if mode.grant else name for name, mode in facts.auth.items())
    number = len(quality["kept"])
    kept = f"{number} of {number + len(quality['exempt'])} rules: {', '.join(quality['kept'])}"
    for label, told in (("reads", reads), ("writes", writes), ("log-in", modes), ("keeps", kept)):
        console.print(f"  {label:8} {told}", markup=False)
    for label in ("exempt", "besides"):
        for what, why in quality[label].items():
            console.print(f"  {label:8} {what}: {why}", style="dim", markup=False)


def _quality(facts: Manifest) -> dict[str, Any]:
    """The rules that a platform keeps, those it is exempt from, and what else it cannot do: each with the reason."""
    from connectors import conformance

    told = facts.exemptions.items()
    return {
        "kept": conformance.kept(facts),
        "exempt": {what: why for what, why in told if what in conformance.RULES},
        "besides": {what: why for what, why in told if what not in conformance.RULES},
    }


@app.command()
def sandbox(
    platforms: Annotated[list[str] | None, typer.Argument(help="Platforms; all when none is named.")] = None,
    port_base: Annotated[int, typer.Option("--port-base", help="First port; one per platform from there.")] = 0,
    state: Annotated[Path | None, typer.Option("--state", help="Folder to load from and save to.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides every generated id.")] = 1,
    fill: Annotated[int, typer.Option("--fill", help="Put so many believable people into them, when empty.")] = 0,
    connect: Connect = False,
) -> None:
    """Run platform sandboxes on loopback until Ctrl-C, to try things without accounts."""
    from connectors import registry

    names = platforms or registry.names()
    console = show.stdout()
    with ExitStack() as stack:
        running = []
        for number, name in enumerate(names):
            port = port_base + number if port_base else _saved_port(state, name)
            made = registry.platform(name).sandbox(seed=seed, port=port)
            running.append(stack.enter_context(_restored(made, state)))
        if state is not None:
            _renew_certificates(state, running)
        if fill:
            _fill(running, fill)
        for made in running:
            console.print(f"{made.name:16} {made.base_url}")
        if state is None:
            _show_connections(running, console, app=connect)
        console.print("Ctrl-C stops them.")
        _wait()
        if state is not None:
            save_sandboxes(state, running)
            console.print(f"Saved to {state}.")


def _fill(running: list[Any], people: int) -> None:
    """People for the sandboxes that run, unless somebody is in them already: the demo's world where it knows the
    platform, samples everywhere else."""
    from config.clock import SystemClock
    from sync.demo.world import PEOPLE, World

    known = {made.name: made for made in running if made.name in PEOPLE}
    if not any(made.all(PEOPLE[name]) for name, made in known.items()):
        World(known, SystemClock().now()).fill(people)
    for made in running:
        if made.name not in PEOPLE:
            _fill_with_samples(made, people)


def _fill_with_samples(made: Any, number: int) -> None:
    from connectors import registry
    from connectors.conformance_bench import numbered

    for object, facts in registry.facts(made.name).objects.items():
        if facts.sample and facts.pull and not made.all(object):
            for n in range(number):
                made.put(object, numbered(facts.sample, n))


def _show_connections(running: list[Any], console: Any, *, app: bool) -> None:
    """A block for a project file, and the settings of the environment that it names."""
    from connectors import registry
    from sync import scaffold

    console.print("\nconnections:")
    exports = []
    for made in running:
        account = scaffold.sandbox_account(made, app=app)
        auth = {name: str(value) for name, value in account["auth"].items() if name != "mode"}
        mode = account["auth"]["mode"]
        secrets = registry.facts(made.name).auth[mode].secrets
        exports += [f"export {scaffold.variable(made.name, name)}={auth.pop(name)}" for name in secrets if name in auth]
        chosen = scaffold.Chosen(made.name, mode, auth, account["settings"], made.base_url, str(made.ca_file or ""))
        console.print(scaffold.connection_text(made.name, chosen), markup=False, soft_wrap=True, end="")
    console.print("\n" + "\n".join(exports) + "\n", markup=False, soft_wrap=True)


def _saved_port(state: Path | None, name: str) -> int:
    import orjson

    file = state / f"{name}.json" if state else None
    return int(orjson.loads(file.read_bytes())["port"]) if file and file.is_file() else 0


def _restored(made: Any, state: Path | None) -> Any:
    import orjson

    file = state / f"{made.name}.json" if state else None
    if file and file.is_file():
        made.restore(orjson.loads(file.read_bytes())["state"])
    return made


def save_sandboxes(folder: Path, running: list[Any]) -> None:
    """Write what the sandboxes hold, so that `closedloop sandbox --state` goes on with it."""
    import orjson

    folder.mkdir(parents=True, exist_ok=True)
    for made in running:
        content = orjson.dumps({"port": made.port, "state": made.snapshot()})
        (folder / f"{made.name}.json").write_bytes(content)


def _renew_certificates(state: Path, running: list[Any]) -> None:
    """A sandbox with TLS makes its certificate anew; the project beside its state is told the new authority."""
    for made in running:
        known = state.parent / "secrets" / f"{made.name}-ca.pem"
        if made.ca_file and known.exists():
            known.write_bytes(Path(made.ca_file).read_bytes())


def _wait() -> None:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
