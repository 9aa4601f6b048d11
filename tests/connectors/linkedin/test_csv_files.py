"""Account lists out, usage reports in."""

from __future__ import annotations

import csv
import io

import pytest

from config.errors import RecordRejected
from connectors.linkedin import csv_files
from connectors.linkedin.csv_files import account_lists, usage_report


def rows(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode())))


def test_an_account_list_is_comma_separated_and_holds_a_thousand() -> None:
    companies: list[dict[str, str | None]] = [{"name": f"Firm {n}, Inc.", "country": "DE"} for n in range(2001)]
    files = account_lists(companies)
    assert [len(rows(file)) - 1 for file in files] == [1000, 1000, 1]
    assert rows(files[0])[:2] == [
        ["Account Name", "Website", "Country", "LinkedIn URL"],
        ["Firm 0, Inc.", "", "DE", ""],
    ]
    assert account_lists([]) == []


def test_a_file_that_would_be_too_large_becomes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "BYTES", 200)
    files = account_lists([{"name": f"Firm {n:050d}"} for n in range(8)])
    assert all(len(file) < 200 for file in files)
    assert sum(len(rows(file)) - 1 for file in files) == 8


def test_a_company_without_a_name_is_refused_by_its_place() -> None:
    with pytest.raises(RecordRejected, match="Company 2 of 2"):
        account_lists([{"name": "A\nB"}, {"name": " ", "website": "b.example"}])
    assert rows(account_lists([{"name": "A\nB"}])[0])[1][0] == "A B"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_usage_report_is_read_by_its_own_columns(encoding: str) -> None:
    text = 'Sales Navigator usage\n\nSeat holder,Logins,"Profile  views"\n"Ruiz, Ana",3,7\nŽofia,0,1\n'
    assert usage_report(text.encode(encoding)) == [
        {"Seat holder": "Ruiz, Ana", "Logins": "3", "Profile views": "7"},
        {"Seat holder": "Žofia", "Logins": "0", "Profile views": "1"},
    ]


def test_a_line_with_more_cells_than_columns_is_refused() -> None:
    with pytest.raises(RecordRejected, match="Line 3"):
        usage_report(b"Seat,Logins\nAna,1\nBob,1,2\n")


@pytest.mark.parametrize("file", [b"", b"Seat;Logins\nAna;3\n", b"\x00\xff"])
def test_what_is_no_comma_separated_table_is_refused(file: bytes) -> None:
    with pytest.raises(RecordRejected, match="comma-separated"):
        usage_report(file)
