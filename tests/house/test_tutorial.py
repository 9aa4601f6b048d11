"""The tutorial's code is run: both of its steps keep the rules of the port, or say why not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from connectors import manifest
from connectors.api import Platform
from connectors.conformance import RULES, bench, kept, promise
from sync import connector_scaffold

TUTORIAL = Path(__file__).parents[2] / "docs" / "connector-tutorial.md"
PACKAGE = "closedloop_guestbook"
BLOCK = re.compile(r"^```\w+\n(?:# |<!-- )(added to )?([\w/.]+)(?: -->)?\n(.*?)^```$", re.M | re.S)


def blocks(text: str) -> list[tuple[str, str, bool]]:
    """(path, text, whether it is added to what is there) of each block that is a file."""
    return [(path, body, bool(added)) for added, path, body in BLOCK.findall(text)]


def write(folder: Path, text: str) -> None:
    for name, body, added in blocks(text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if added else ""
        path.write_text(before + body, encoding="utf-8")


@pytest.fixture(scope="module", params=["read", "written"])
def guestbook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform as it is after one step of the tutorial."""
    folder = tmp_path_factory.mktemp(request.param)
    first, second = TUTORIAL.read_text(encoding="utf-8").split("\n## Writing\n")
    write(folder, first)
    if request.param == "written":
        write(folder, second)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        patched.setenv("PYTHONPATH", str(folder))  # the rule about imports looks from another process
        yield import_module(PACKAGE).platform
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]


def test_every_block_of_code_is_a_file(tmp_path: Path) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    assert len(blocks(text)) == text.count("\n```") // 2
    write(tmp_path, text)
    assert {path.name for path in (tmp_path / PACKAGE).iterdir()} == {
        *connector_scaffold.FILES,
        "push.py",
    }


@pytest.mark.parametrize("rule", RULES)
def test_the_tutorials_connector_keeps_the_rule(guestbook: Platform, rule: str) -> None:
    if reason := manifest.load(guestbook.folder).exemptions.get(rule):
        assert len(reason) > 15
        return
    with bench(guestbook) as made:
        RULES[rule](made)


def test_the_second_step_keeps_three_rules_more(tmp_path: Path) -> None:
    numbers: list[int] = []
    for part in TUTORIAL.read_text(encoding="utf-8").split("\n## Writing\n"):
        write(tmp_path / str(len(numbers)), part.replace("# added to", "# "))
        numbers.append(len(kept(manifest.load(tmp_path / str(len(numbers)) / PACKAGE))))
    assert numbers == [14, 17]


def test_the_quality_scale_is_the_rules_of_the_suite() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", TUTORIAL.read_text(encoding="utf-8"), re.M)
    assert rows == [(rule, promise(rule)) for rule in RULES]


def test_the_mode_with_a_consent_is_one_that_a_manifest_takes() -> None:
    text = TUTORIAL.read_text(encoding="utf-8").split("\n## Logging in by OAuth\n")[1]
    [block] = re.findall(r"^(    auth:\n(?:      .*\n)+)", text, re.M)
    mode = manifest.AuthMode.model_validate(yaml.safe_load(dedent(block))["auth"]["oauth"])
    assert mode.grant is not None
    assert mode.needed == ("client_secret",)
    assert {name for name in manifest.Grant.model_fields if f"`{name}" in text} >= {"scopes", "extra", "client", "host"}
