"""YAML without surprises, and mistakes told where they stand."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import yaml
from config.errors import Misconfigured
from config.project import load_project
from config.secrets import Secret, resolve
from connectors import registry

ODD = (
    "\t", "\r", "\x85", "\u2028", "\ufeff", "\x1b", "é", "\U0001f600", "'", '"', "\\", "\\x41", "!", "!x ",
    "%YAML 1.1\n---\n", "...", "---", "? ", ": ", "- ", "|", "|+2\n", ">-\n", "&", "*", "{", "}", "[", "]", ",", "#",
    " #", "a:b", "{a:1}", "\n\n", "  \n", "-1.5", "1e3", "~: ~", "''", "5%", "|#", "\"a\\\n b\"", "\ue000", "\ufffe",
)  # fmt: skip


def place_of(text: str) -> tuple[int, int, str]:
    with pytest.raises(Misconfigured) as caught:
        yaml.parse(text.encode(), "f.yaml")
    [problem] = caught.value.problems
    return problem.line, problem.column, problem.message


def test_a_country_stays_a_country() -> None:
    document = yaml.parse(b"a: NO\nb: yes\nc: true\nd: 010\ne: 12:30\nf: 2026-01-01\ng: 7\nh:\n", "f")
    assert document.data == {
        "a": "NO",
        "b": "yes",
        "c": True,
        "d": "010",
        "e": "12:30",
        "f": "2026-01-01",
        "g": 7,
        "h": None,
    }


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: &x 1\nb: *x\n", 1, "Anchors"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a:\n\t- b\n", 2, "not YAML"),
        ("? [1]\n: 2\n", 1, "must be a word"),
    ],
)
def test_mistakes_have_their_place(text: str, line: int, part: str) -> None:
    found = place_of(text)
    assert found[0] == line
    assert part in found[2]


def test_too_deep_too_large_and_not_utf8_are_refused() -> None:
    assert "deeper" in place_of("[" * 60 + "]" * 60)[2]
    with pytest.raises(Misconfigured, match="has a mistake"):
        yaml.parse(b"a" * 1_000_001, "f")
    with pytest.raises(Misconfigured, match="has a mistake"):
        yaml.parse(b"a: \xff\xfe", "f")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_misconfigured(raw: bytes) -> None:
    try:
        yaml.parse(raw, "f")
    except Misconfigured as error:
        assert error.problems


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abc:- \n[]{}&*!?|>'\"%@`#,\t01", max_size=120))
def test_no_yamlish_text_raises_anything_but_misconfigured(text: str) -> None:
    try:
        yaml.parse(text.encode(), "f")
    except Misconfigured as error:
        assert error.problems


def project(folder: Path, text: str) -> Path:
    path = folder / "closedloop.yaml"
    path.write_text(text)
    return path


def test_a_project_tells_all_its_mistakes_at_once(tmp_path: Path) -> None:
    text = (
        "version: 1\ntime_zone: Mars/Base\nconnections:\n  hubspot: {auth: {mode: token}, evry: 5m}\nconections: {}\n"
    )
    with pytest.raises(Misconfigured) as caught:
        load_project(project(tmp_path, text))
    told = [(p.line, p.message, p.hint) for p in caught.value.problems]
    assert (4, "Unknown key 'evry'.", "did you mean 'every'?") in told
    assert (5, "Unknown key 'conections'.", "did you mean 'connections'?") in told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("time_zone: Mars/Base", "time zone"),
        ("state: mysql://x", "neither SQLite nor PostgreSQL"),
        ("handoff: {to: salesforc, object: leads}", "no connection"),
        ("currency: euro", "pattern"),
        ("daemon: {tick: soon}", "duration"),
        ("lead: {survivorship: {title: {rule: prefer, order: [x]}}}", "no connection"),
    ],
)
def test_wrong_settings_are_told_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_project(project(tmp_path, f"connections:\n  salesforce: {{}}\n{line}\n"))
    [problem] = caught.value.problems
    assert problem.line == 3
    assert message in problem.message


def test_an_absent_and_an_empty_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_project(tmp_path / "closedloop.yaml")
    with pytest.raises(Misconfigured, match="mistakes"):
        load_project(project(tmp_path, ""))


def test_all_missing_secrets_are_named_at_once(tmp_path: Path) -> None:
    loaded = load_project(
        project(tmp_path, 'connections: {hubspot: {auth: {mode: token, token: "env:AAA", other: "file:nope"}}}\n')
    )
    with pytest.raises(Misconfigured) as caught:
        loaded.connections["hubspot"].resolve_auth(tmp_path, {})
    assert "AAA" in str(caught.value)
    assert "nope" in str(caught.value)


def test_an_empty_secret_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(Misconfigured, match="is empty"):
        resolve("file:empty", folder=tmp_path)


def test_a_secret_never_shows() -> None:
    secret = resolve("env:TOKEN", folder=Path(), environ={"TOKEN": "hunter2"})
    assert secret.reveal() == "hunter2"
    assert "hunter2" not in f"{secret!r} {secret} {[secret]} {[secret, secret]}"
    with pytest.raises(TypeError):
        __import__("pickle").dumps(secret)
    assert Secret("a") == Secret("a")


BOMBS = (
    "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
    "a: &a\n  <<: *a\n",
    "a: !!python/object/apply:os.system ['true']\n",
    "a: !!python/name:os.system\n",
    "a: !!python/object:config.secrets.Secret {}\n",
    "a: !own x\n",
    "a: !!binary aGVsbG8=\n",
    "a: !!set {x, y}\n",
    "? {a: b}\n: c\n",
    "[" * 100_000,
    "{a: " * 50_000,
    "- " * 30_000,
    "a: '" + "x" * 2_000_000 + "'",
    "x: 1\n" * 2_000,
    "%TAG ! tag:evil.example,2026:\n---\n!x y\n",
)


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_what_is_no_plain_data_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(Misconfigured) as refused:
        yaml.parse(text.encode(), "f.yaml")
    assert refused.value.problems
    assert time.process_time() - began < 10


def as_told(text: str) -> tuple[object, object]:
    """What the text says and where, or what is wrong with it and where."""
    try:
        document = yaml.parse(text.encode("utf-8", "replace"), "f.yaml")
    except Misconfigured as error:
        return "refused", error.problems
    return document.data, document.places


@pytest.mark.skipif(yaml._QUICK is None, reason="PyYAML was built without libyaml")
@pytest.mark.parametrize("platform", sorted(registry.names()))
def test_libyaml_reads_what_pyyaml_reads(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sound files and spoilt ones alike, to the column; nothing depends on how somebody's PyYAML was built."""
    lines = (registry.platform(platform).folder / "mapping.yaml").read_text().splitlines(keepends=True)
    random = Random(platform)
    texts = ["".join(lines)]
    for _ in range(60):
        begin = random.randrange(len(lines))
        text = "".join(lines[begin : begin + random.randrange(1, 25)])
        for _ in range(random.randrange(4)):
            place = random.randrange(len(text) + 1)
            text = text[:place] + random.choice(ODD) + text[place + random.choice((0, 0, 1, 3)) :]
        texts.append(text)
    quick = [as_told(text) for text in texts]
    monkeypatch.setattr(yaml, "_QUICK", None)
    assert quick == [as_told(text) for text in texts]
