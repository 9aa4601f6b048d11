"""Account lists out, usage reports in, lists of people and companies in."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cells import guarded, unguarded
from config.errors import RecordRejected
from connectors.linkedin import csv_files, csv_import
from connectors.linkedin.csv_cells import lines, written
from connectors.linkedin.csv_files import Company, account_lists, people_lists, usage_report
from connectors.linkedin.csv_import import ACCOUNTS, LEADS, listed


def rows(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode(), newline="")))


# cells

FORMULAS = [
    "=1+1",
    "+49 30 1234567",
    "-12.5",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "'=1",
    "''+1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_run_is_text_in_a_file_and_itself_again_when_read(text: str) -> None:
    cell = guarded(text)
    assert cell == "'" + text
    assert unguarded(cell) == text


@pytest.mark.parametrize("text", ["", "Ana", "O'Neill", "'quoted'", "a=b", " =x", "1-2", "ž"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text


@given(st.text(), st.sampled_from(["", "'", "''", "=", "+", "-", "@", "'=", "\t"]))
def test_every_text_comes_back(tail: str, head: str) -> None:
    assert unguarded(guarded(head + tail)) == head + tail


def test_every_cell_stands_in_quotes() -> None:
    assert written(("a", "b"), [["=x", 'say "hi"']]) == b'"a","b"\r\n"\'=x","say ""hi"""\r\n'


# account lists


def test_an_account_list_is_comma_separated_and_holds_a_thousand() -> None:
    companies: list[Company] = [{"name": f"Firm {n}, Inc.", "country": "Germany"} for n in range(2001)]
    made = account_lists(companies)
    assert [len(rows(file)) - 1 for file in made.files] == [1000, 1000, 1]
    assert rows(made.files[0])[:2] == [
        ["Account Name", "Website", "Country", "LinkedIn URL"],
        ["Firm 0, Inc.", "", "Germany", ""],
    ]
    assert account_lists([]).files == []


def test_a_file_that_would_be_too_large_becomes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "BYTES", 200)
    made = account_lists([{"name": f"Firm {n:050d}"} for n in range(8)] + [{"name": "x" * 300}])
    assert all(len(file) < 200 for file in made.files)
    assert sum(len(rows(file)) - 1 for file in made.files) == 8
    assert made.left_out == {8: "is too large for a file"}


def test_what_is_in_no_file_is_told_by_its_place() -> None:
    made = account_lists([{"name": "A\nB"}, {"name": " ", "website": "b.example"}, {"name": "a b"}, {"name": "+Plus"}])
    assert [row[0] for row in rows(made.files[0])[1:]] == ["A B", "'+Plus"]
    assert made.left_out == {1: "has no name, and an account list needs one", 2: "says the same as another"}
    assert made.altered == 1


# lists of people


def test_people_come_back_as_they_went_and_nobody_who_opted_out_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    ana = {
        "email": "ana@x.example",
        "first_name": "=Ana",
        "phone": "+49301234567",
        "linkedin_url": "https://l.example/a",
    }
    told: list[Company] = [ana, {"first_name": "Bob"}, {"email": "eve@x.example", "email_consent": "unsubscribed"}]
    made = people_lists([*told, {"email": "x@x.example", "email_consent": "subscribed"}])
    assert made.left_out == {1: "has no e-mail address", 2: "opted out"}
    [file] = made.files
    back = [orjson.loads(record.raw) for record in listed(file, LEADS).records]
    assert back == [ana, {"email": "x@x.example"}]
    assert people_lists([]).files == []
    monkeypatch.setattr(csv_files, "BYTES", 300)
    many = people_lists([{"email": f"p{n}@x.example"} for n in range(20)] + [{"email": "x" * 300}])
    assert sum(len(rows(part)) - 1 for part in many.files) == 20
    assert many.left_out == {20: "is too large for a file"}


# usage reports


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


# lists of people and companies


def raws(file: str, object: str = LEADS) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in listed(file.encode(), object).records]


def test_people_go_by_their_columns_in_our_words_and_blanks_say_nothing() -> None:
    file = "Email Address,First Name,Job Title,Phone,Profile URL,Größe\n"
    file += "Ana@X.example,Ana,,'+49 30 1,https://l.example/ana,-5\n"
    assert raws(file) == [
        {
            "email": "Ana@X.example",
            "first_name": "Ana",
            "phone": "+49 30 1",
            "linkedin_url": "https://l.example/ana",
            "größe": "-5",
        }
    ]


def test_a_column_of_ours_goes_before_one_of_linkedins() -> None:
    assert raws("Work Email,Email\nw@x.example,p@x.example\n") == [
        {"work_email": "w@x.example", "email": "p@x.example"}
    ]


def test_a_row_is_the_same_each_time_however_its_address_is_written() -> None:
    one, two = (
        listed(f"email\n{email}\n".encode(), LEADS).records[0].id for email in ("Ana@x.example", "ana@X.example")
    )
    assert one == two
    assert listed(b"Lead ID,email\n77,a@x.example\n", LEADS).records[0].id == "77"
    sites = ("https://www.b.example/x", "b.example", "http://b.example")
    ids = [listed(f"Account Name,Website\nB,{site}\n".encode(), ACCOUNTS).records[0].id for site in sites]
    assert len(set(ids)) == 1
    assert listed(b"Account Name,Website\nB,http://[x\n", ACCOUNTS).records


def test_rows_that_are_no_records_are_told_by_their_lines_and_touch_no_other() -> None:
    file = b'email,first_name\na@x.example,"A\nB"\n,Bob\nc@x.example\na@x.example,Again\n\nd@x.example,\xff\n'
    file += b"e@x.example,Eve\n"
    told = listed(file, LEADS)
    assert [orjson.loads(record.raw)["email"] for record in told.records] == ["a@x.example", "e@x.example"]
    assert [(odd.line, odd.why) for odd in told.odd] == [
        (4, "has nothing to tell it apart by"),
        (5, "has 1 cells, and the file 2 columns"),
        (6, "is the same person as line 3"),
        (8, "holds letters that are neither UTF-8 nor UTF-16"),
    ]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "is empty"),
        (b"email;name\na@x.example;A\n", "separated by commas"),
        (b"name,city\nA,B\n", "no column id or email"),
        (b"email,E-Mail,email\na,b,c\n", "Two columns are called email"),
        (b'email\n"a@x.example\nb@x.example\n', "cannot be read beyond line 3"),
        (b'email\n"a"b\n', "cannot be read beyond line 2"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_whole(file: bytes, why: str) -> None:
    with pytest.raises(RecordRejected, match=why):
        listed(file, LEADS)


def test_a_file_beyond_twenty_megabytes_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_import, "BYTES", 20)
    with pytest.raises(RecordRejected, match="Split it"):
        listed(b"email\n" + b"a@x.example\n" * 3, LEADS)


def test_what_was_written_is_read_back() -> None:
    told = [["+49 30 1", "-12", "=x", "O'Neill", "'+1"], ["a", "b", "c", "d", "e\nf"]]
    assert [[unguarded(cell) for cell in row] for _, row in lines(written("abcde", told))][1:] == told
