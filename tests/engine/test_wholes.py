"""A platform whose mapping writes less than the whole of a value tells only that much of it, and says nothing against
the rest, which stands where it can stand, whatever becomes of the record that it came from."""

from __future__ import annotations

import pytest

from connectors.api import Gone
from sync.conflicts import listed
from tests.engine.conftest import Loop

TITLE = "{remote: title, field: title, direction: both, on_blank: clear}"
SHORT = TITLE.replace("on_blank: clear", "on_blank: clear, transform: [{truncate: 5}]")


@pytest.fixture
def short(loop: Loop) -> Loop:
    """Somebody with two records on alpha, and one on beta, which takes five letters of a title."""
    path = loop.folder / "mappings/beta.yaml"
    path.write_text(path.read_text().replace(TITLE, SHORT))
    loop.reopen()
    loop.beta.put("contacts", {"email": "ana@x.io"}, id="b")
    loop.alpha.put("contacts", {"email": "ana@x.io", "title": "Chief of Staff"}, id="a")
    loop.alpha.put("contacts", {"email": "ana@x.io"}, id="z")
    loop.settled()
    assert titles(loop) == {"a": "Chief of Staff", "z": "Chief of Staff", "b": "Chief"}
    return loop


def titles(loop: Loop) -> dict[str, str]:
    sides = (loop.alpha, loop.beta)
    return {id: row.values["title"] for side in sides for id, row in side.rows["contacts"].items() if not row.gone}


def test_the_whole_stands_when_the_record_that_it_came_from_is_merged_away(short: Loop) -> None:
    short.clock.advance(60)
    short.alpha.remove("contacts", "a", Gone.MERGED, "z")
    short.settled()
    assert titles(short) == {"z": "Chief of Staff", "b": "Chief"}


@pytest.mark.parametrize("title", ["Head", "Chef"])
def test_another_value_is_heard_there(short: Loop, title: str) -> None:
    short.clock.advance(60)
    short.beta.edit("contacts", "b", {"title": title})
    short.settled()
    assert set(titles(short).values()) == {title}


def test_nobody_is_asked_about_the_rest(short: Loop) -> None:
    short.rule("title", "ask")
    short.clock.advance(60)
    short.alpha.edit("contacts", "a", {"phone": "+49 30 1234567"})
    short.settled()
    with short.workspace.state.read() as tx:
        assert listed(tx) == []
