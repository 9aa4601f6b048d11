"""What somebody sees who calls a command wrongly, or asks for what is not there: what is wrong, and what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.cli.app import main
from sync.entries import entry, quarantine_rows
from sync.parked import park
from sync.workspace import Workspace

Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one platform, with a state, as `init` and a first command leave it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in ("init -p hubspot", "conflicts list"):
            patch.setattr(sys, "argv", ["closedloop", *words.split()])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
    return folder


@pytest.fixture
def call(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A command in a new project of one platform: its exit code, and all that it prints."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUBSPOT_TOKEN", "a token")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["closedloop", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return call


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("explain", "Missing argument 'who'. `closedloop explain --help` shows how."),
        ("plan --limt 3", "No such option: --limt (Possible options: --limit). `closedloop plan --help` shows how."),
        ("plan --limit -1", "Invalid value for '--limit'"),
        ("undo --limit -1", "Invalid value for '--limit'"),
        ("duplicates list --limit -1", "Invalid value for '--limit'"),
        ("nonsense", "No such command 'nonsense'. `closedloop --help` shows how."),
        ("backfill --since 2999-01-01", "--since is in the future: nothing changed since. Give a day that has been."),
        ("quarantine dismiss 7 3", "There is no entry 3, 7 that waits. Nothing was done."),
        ("quarantine replay 7", "There is no entry 7 that waits. Nothing was done."),
        ("conflicts resolve 7 --same", "There is no question 7."),
        ("undo --connection nope", "There is no connection 'nope'. Configured are: hubspot."),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call: Call, words: str, told: str) -> None:
    code, printed = call(*words.split())
    assert code == 2
    assert told in printed
    assert "Traceback" not in printed


def test_a_group_of_commands_shows_its_help_and_no_more(call: Call) -> None:
    code, printed = call("quarantine")
    assert code == 2
    assert "dismiss" in printed
    assert "shows how" not in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("conflicts list", "Nothing is to be decided.\n"),
        ("quarantine list", "Nothing is in quarantine.\n"),
        ("quarantine list --code taken", "Nothing is in quarantine with the code taken.\n"),
        ("quarantine replay --all", "There is none to try again.\n"),
        ("report --out made.json", "Written to made.json.\n"),
    ],
)
def test_where_there_is_nothing_no_empty_table_is_drawn(call: Call, words: str, told: str) -> None:
    assert call(*words.split()) == (0, told)


def test_a_project_that_has_not_begun_says_how_it_begins(call: Call) -> None:
    code, printed = call("status")
    assert code == 0
    assert printed.splitlines()[1:] == ["Nothing was pulled yet. `closedloop backfill` begins."]
    code, printed = call("duplicates", "list")
    assert code == 0
    assert printed.startswith("No two leads look like one person.\n")


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("", ""),
        ("restored", "; asked because the state was restored"),
        ("in_doubt", "; asked because nobody knows what came of a write"),
    ],
)
def test_a_question_says_how_it_is_decided_and_why_it_is_asked(call: Call, why: str, told: str) -> None:
    options = [{"source": name, "value": name, "at": "2026-03-01T09:00:00Z"} for name in ("a", "b")]
    with Workspace.open(Path.cwd()) as workspace, workspace.state.begin() as tx:
        park(tx, kind="field", lead="ld_1", field="title", options=options, at="2026-03-01T09:00:00Z", why=why)
    assert call("conflicts", "list")[1].endswith(
        "`closedloop conflicts show ID` says what is known, and how it is decided.\n"
    )
    code, printed = call("conflicts", "show", "1")
    first, *_, last = printed.splitlines()
    assert code == 0
    assert first.startswith("field title of ld_1: open, since 2026-03-01T09:00:00")
    assert first.endswith(told)
    assert ("asked" in first) == bool(told)
    assert last == ("`closedloop conflicts resolve 1` decides it, with one of --take, --value (--help says which).")
    assert call("conflicts", "resolve", "1") == (2, "No answer is given. Give one of: --take, --value.\n")
    code, printed = call("conflicts", "resolve", "1", "--same")
    assert (code, printed) == (2, "This question takes another answer. Give one of: --take, --value.\n")


def test_what_is_in_quarantine_says_what_to_do_and_is_dismissed_once(call: Call) -> None:
    with Workspace.open(Path.cwd()) as workspace, workspace.state.begin() as tx:
        place = ("hubspot", "contacts", "7", "", "phone")
        what = entry("run_1", "2026-03-01T09:00:00Z", place, code="odd", reason="is no phone number", fix="Correct it.")
        quarantine_rows(tx, [what])
    code, printed = call("quarantine", "list")
    assert code == 0
    assert printed.endswith("`closedloop quarantine show ID` says what to do.\n")
    assert call("quarantine", "dismiss", "1") == (0, "1 dismissed.\n")
    assert call("quarantine", "dismiss", "1")[0] == 2


def test_a_mistake_of_the_project_is_told_once(call: Call) -> None:
    file = Path("closedloop.yaml")
    file.write_text(file.read_text().replace("survivorship: {}", "survivorship: {nofield: {rule: ask}}"))
    code, printed = call("check")
    assert code == 2
    assert printed.count("lead.survivorship.nofield: there is no such field on the lead") == 1
    assert printed.endswith("\n1 mistake.\n")
