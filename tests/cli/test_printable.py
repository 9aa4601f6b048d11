"""What people are called reaches the terminal as text: no letter of it moves the cursor, turns text round, or begins a
line that looks like one of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from sync import scaffold
from sync.cli import show
from sync.cli.app import main
from tests.fuzz.naughty import TEXTS

NAME = "Ana\x9b31m\u202egnp.exe\u2066\nIn quarantine: nobody\x85"
"""It stays in a field: letters below space are refused on the way in, these are not."""
Command = Callable[..., str]


def odd(told: str) -> set[str]:
    """The letters of a screen that are not to be there; rich's own colours are off where nobody watches."""
    return {letter for letter in told if not (letter.isprintable() or letter == "\n")}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command line, in this process, over two platforms full of such names."""
    started = {name: registry.platform(name).sandbox(seed=5).start() for name in ("hubspot", "salesforce")}
    _fill(started)
    chosen = {name: scaffold.sandbox_connection(tmp_path, name, made) for name, made in started.items()}
    scaffold.write(tmp_path, chosen, tail="qualification: {qualified_when: \"lead.title == 'Chief'\"}\n")

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["closedloop", "--project", str(tmp_path), *arguments])
        with pytest.raises(SystemExit):
            main()
        told = capsys.readouterr()
        assert "unexpected" not in told.err
        return told.out + told.err

    yield run
    for made in started.values():
        made.stop()


def _fill(started: dict[str, Any]) -> None:
    for number in range(3):
        values = {
            "email": f"p{number}@x.example",
            "firstname": f"{number}{NAME}",
            "lastname": NAME,
            "jobtitle": "Chief",
        }
        started["hubspot"].put("contacts", values)
    started["hubspot"].put("contacts", {"email": "bad\x1b[2J@x.example", "firstname": "\x1b[31m", "phone": "\x07call"})
    for twin in ("Clerk", NAME):
        started["salesforce"].put("leads", {"Email": "p1@x.example", "LastName": NAME, "Company": NAME, "Title": twin})


PERSON, TWIN = "p0@x.example", "p1@x.example"
LISTS = ("status", "conflicts list", "quarantine list", "duplicates list", "plan", "report")
COMMANDS = (
    *(tuple(f"{words}{how}".split()) for words in ("plan", "sync", "sync --yes", *LISTS) for how in ("", " --json")),
    *(("explain", who, *how) for who in (PERSON, TWIN) for how in ((), ("--json",))),
    *(tuple(f"{words} show 1".split()) for words in ("conflicts", "quarantine")),
    ("report", "--by", "owner"),
    ("export", PERSON),
    ("forget", PERSON),
    ("undo",),
    ("explain", NAME),
)


def test_every_command_prints_nothing_but_text(command: Command) -> None:
    told = {arguments: command(*arguments) for arguments in COMMANDS}
    assert {arguments: odd(screen) for arguments, screen in told.items() if odd(screen)} == {}
    assert not [arguments for arguments, screen in told.items() if "\nIn quarantine: nobody" in screen]
    assert sum("gnp.exe" in screen for screen in told.values()) >= 5
    shown = json.loads(told[("export", PERSON)])
    assert NAME.rstrip("\x85") in json.dumps(shown, ensure_ascii=False).replace("\\n", "\n")  # the same value


def test_a_value_of_any_kind_is_one_line_of_text() -> None:
    for text in TEXTS:
        for value in (text, [text], [text, text], {"amount": text, "currency": text}, {"other": text}):
            assert show.text(value).isprintable()
