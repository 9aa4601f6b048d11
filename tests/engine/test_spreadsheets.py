"""No cell of a file that people open in a spreadsheet is run there, and nothing is lost of what it says."""

from __future__ import annotations

import csv
import io

import pytest

from config.cells import guarded, unguarded
from sync.insight.report import funnel
from tests.engine.conftest import Loop
from tests.fuzz.naughty import TEXTS

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.mark.parametrize(
    "text", [*TEXTS, "+49 30 901820", "-5", "+1", "'=1+1", "''=1", *(f"{sign}1+1" for sign in STARTS)]
)
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(STARTS)


def test_the_report_names_a_source_that_would_be_a_formula_as_text(loop: Loop) -> None:
    for number, sign in enumerate(STARTS):
        loop.alpha.put("contacts", {"email": f"p{number}@x.io", "source": f"{sign}cmd{number}|' /C calc'!A0;=1+1"})
    loop.alpha.put("contacts", {"email": "q@x.io", "source": 'a";=1+1,"'})
    loop.settled()
    with loop.workspace.state.read() as tx:
        text = funnel(tx, "source", "EUR").csv()
    rows = list(csv.reader(io.StringIO(text)))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not [cell for row in rows for cell in row if cell.startswith(STARTS)]
    assert sum(row[0].startswith("'") for row in rows) >= 5
    assert all(cell.startswith('"') for line in text.splitlines() for cell in line.split(",", 1)[:1])
