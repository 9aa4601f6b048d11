"""A tap as its command line: what it offers, and one run of it. Nobody else knows its options and its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from config.errors import Misconfigured, RetryLater
from connectors.api import Account, Surroundings
from connectors.singer import messages
from connectors.singer.catalog import Entry, entries, selected
from connectors.singer.choices import NO_CATALOG, Choices, StreamChoice, choices, plain, tap_config
from connectors.singer.messages import Message
from connectors.singer.process import TapProcess

LARGEST_CATALOG = 64_000_000
_RATE, _BURST = 1000.0, 1000
"""A start of a tap asks for leave like any call, so that whoever lost the connection starts none. It is no limit."""


class Run:
    """One run of the tap and its files. They and all its processes are gone after `close`."""

    def __init__(self, client: Client, options: Mapping[str, Any]) -> None:
        """`options` by name, `--config` apart: a value is written into a file, None stands alone."""
        self._client = client
        self._folder = tempfile.TemporaryDirectory(prefix="closedloop-tap-")
        try:
            self._process = client.start(self._arguments(options))
        except BaseException:
            self._folder.cleanup()
            raise

    def _arguments(self, options: Mapping[str, Any]) -> list[str]:
        told = ["--config", self._client.own_config or self._file("config", self._client.config)]
        for name, value in options.items():
            told += [f"--{name}"] if value is None else [f"--{name}", self._file(name, value)]
        return told

    def _file(self, name: str, value: Any) -> str:
        """Readable by nobody but its owner from its first byte on."""
        path = Path(self._folder.name, f"{name}.json")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(value))
        return str(path)

    def lines(self) -> Iterator[bytes]:
        """What it says. With its first word it has read its configuration, which is not left lying about longer."""
        for line in self._process.lines():
            Path(self._folder.name, "config.json").unlink(missing_ok=True)
            yield line

    def messages(self) -> Iterator[Message]:
        """Raises RetryLater where it says something else than Singer's messages."""
        try:
            yield from messages.read(self.lines())
        except ValueError:
            raise self._process.trouble("wrote a line that is no Singer message", "garbage") from None

    def garbage(self, what: str) -> RetryLater:
        return self._process.trouble(what, "garbage")

    def close(self) -> None:
        self._process.close()
        self._folder.cleanup()


class Client:
    """One configured tap."""

    def __init__(self, account: Account, surroundings: Surroundings) -> None:
        self.connection = account.connection
        self.choices: Choices = choices(account)
        self.config, self._hidden = tap_config(account, self.choices)
        self.own_config = self.choices.config_file if plain(account, self.choices) else ""
        self._budget = surroundings.budget
        self.calls = 0
        self._catalog: list[Entry] | None = None

    def program(self) -> str:
        """The path of the tap's program. Raises Misconfigured where there is none."""
        found = shutil.which(self.choices.tap[0])
        if found is None:
            raise Misconfigured(
                f"There is no program {Path(self.choices.tap[0]).name}.",
                fix="Install the tap into an environment of its own, and name its program in settings.tap.",
                connection=self.connection,
            )
        return found

    def start(self, arguments: list[str]) -> TapProcess:
        """The tap with these arguments."""
        program = self.program()
        self.leave()
        self.calls += 1
        return TapProcess(
            [program, *self.choices.tap[1:], *arguments],
            connection=self.connection,
            timeout=self.choices.timeout,
            hidden=self._hidden,
            waiting=self.leave,
        )

    def leave(self) -> None:
        """Raises Fenced where this process lost the connection; keeps its lease while it has it."""
        self._budget.take(f"singer:{self.connection}", 1, rate=_RATE, burst=_BURST)

    def catalog(self, *, anew: bool = False) -> list[Entry]:
        """What the tap offers, by the file of the settings or as it says. None where it takes no catalog."""
        if self.choices.catalog == NO_CATALOG:
            return []
        if self._catalog is None or anew:
            self._catalog = self._filed() if self.choices.catalog else self._discovered()
        return self._catalog

    def _filed(self) -> list[Entry]:
        try:
            return entries(orjson.loads(Path(self.choices.catalog).read_bytes()))
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"settings.catalog cannot be read as a Singer catalog: {type(error).__name__}.",
                fix="Write it with the tap's --discover, or leave it out.",
                connection=self.connection,
            ) from None

    def _discovered(self) -> list[Entry]:
        run = Run(self, {"discover": None})
        try:
            told, size = [], 0
            for line in run.lines():
                told.append(line)
                size += len(line)
                if size > LARGEST_CATALOG:
                    raise run.garbage(f"wrote a catalog larger than {LARGEST_CATALOG} bytes")
            return entries(orjson.loads(b"\n".join(told)))
        except ValueError:
            raise run.garbage("discovered what is no Singer catalog") from None
        finally:
            run.close()

    def run(self, choice: StreamChoice, state: Any, since: str = "") -> Run:
        """A run that tells the chosen stream from `state` on. `since` takes the place of the start date that the
        configuration has; without one a tap begins at the beginning."""
        options: dict[str, Any] = {}
        if self.choices.catalog != NO_CATALOG:
            name = "properties" if self.choices.properties else "catalog"
            options[name] = selected(self.catalog(), choice)
        if state:
            options["state"] = state
        return Run(self, options) if not since else self._since(options, since)

    def _since(self, options: Mapping[str, Any], since: str) -> Run:
        if "start_date" not in self.config or self.own_config:
            return Run(self, options)
        usual = self.config
        self.config = {**usual, "start_date": since}
        try:
            return Run(self, options)
        finally:
            self.config = usual
