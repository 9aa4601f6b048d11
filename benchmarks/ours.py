"""Our path, as the product runs it: connector, compiled mapping, absorb, a SQLite state on disk.

    python benchmarks/ours.py pull   ADDRESS FOLDER    the first pull; or a further one where the state is there
    python benchmarks/ours.py rescan ADDRESS FOLDER    everything again, from the beginning

The last line is JSON: what became of the records, and the calls made.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import people

from config import memory
from config.clock import SystemClock, stamp
from config.secrets import Secret
from connectors import registry
from connectors.api import Account, Surroundings
from mappings.compiler import Defaults, load_mapping
from sync.pull import pull_object, restart
from sync.state.budget import StateBudget
from sync.state.database import State
from sync.state.tokens import StateTokens

NO_LIMIT = {"calls_per_10s": 10_000_000}
"""The account's own rate would be what is measured otherwise; the budget is asked all the same."""


class Owners:
    """The account's owners, known beforehand."""

    def owner_email(self, id: str) -> str | None:
        return people.OWNERS.get(id)

    def owner_id(self, email: str) -> str | None:
        return None


def main(what: str, address: str, folder: Path) -> None:
    clock = SystemClock()
    mapping = load_mapping(Path(__file__).parent / "mapping.yaml", lookup=Owners(), defaults=Defaults(country="US"))
    state = State.open(f"sqlite:///{folder / 'closedloop.db'}", clock=clock)
    account = Account("hubspot", "hubspot", {"token": Secret("pat-bench")}, NO_LIMIT, base_url=address)
    world = Surroundings(clock, StateBudget(state, clock), StateTokens(state, "hubspot", folder=folder))
    connector = registry.platform("hubspot").open(account, world)
    contacts = mapping["contacts"]
    memory.settle()  # as the command line does
    if what == "rescan":
        with state.begin() as tx:
            restart(tx, "hubspot", "contacts", contacts.kind)
    pulled = pull_object(
        state, connector, contacts, "hubspot", run="run_bench", now=lambda: stamp(clock.now()), bulk=what == "rescan"
    )
    calls = connector.calls
    connector.close()
    state.close()
    print(orjson.dumps({**asdict(pulled.counts), "calls": calls}).decode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
