"""Many rows in few statements: what the hot paths of both databases need, and SQLAlchemy's Core has no word for.

SQLite is in this process, so a prepared statement per row is cheapest. PostgreSQL is not: there one statement takes all
rows, as one JSON text (psycopg escapes arrays of text in Python, at ten times the cost).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, Integer, Table

Row = tuple[Any, ...]

CHUNK = 1000
"""Ids per look-up."""

_TYPES = ((BigInteger, "bigint"), (Integer, "integer"), (Boolean, "boolean"), (Float, "float8"))


def find(
    tx: Connection, table: Table, stream: int, names: Sequence[str], key: str, values: Sequence[str]
) -> Iterator[Sequence[Any]]:
    """The columns `names` of the stream's rows whose column `key` is one of `values`."""
    postgres = tx.dialect.name == "postgresql"
    chosen = tuple(names)
    for at in range(0, len(values), CHUNK):
        some = list(values[at : at + CHUNK])
        if postgres:
            found = tx.exec_driver_sql(_finding(table.name, chosen, key, -1), (stream, some))
        else:
            found = tx.exec_driver_sql(_finding(table.name, chosen, key, len(some)), (stream, *some))
        yield from found.all()


@lru_cache(maxsize=256)
def _finding(table: str, names: tuple[str, ...], key: str, number: int) -> str:
    """The look-up of so many values on SQLite; of any number (-1) on PostgreSQL."""
    start = _words("SELECT", ", ".join(_quoted(names)), "FROM", table)
    if number < 0:
        return _words(start, "WHERE stream = %s AND", key, "= ANY(%s::text[])")
    return _words(start, "WHERE stream = ? AND", key, "IN (", ", ".join("?" * number), ")")


def insert(
    tx: Connection,
    table: Table,
    names: Sequence[str],
    rows: Sequence[Row],
    *,
    quietly: bool = False,
    encoded: str = "",
) -> None:
    """Insert `rows`, columns in the order of `names`; `quietly` leaves rows alone whose key is there already.

    The column `encoded` is text that comes as a bytearray of its UTF-8: SQLite keeps that as it is, so that it need not
    be decoded only to be encoded again. Values that are the column's default are best left out: sqlite3 looks for an
    adapter of every None and boolean it is given, and makes and drops an exception each time.
    """
    if not rows:
        return
    end = "ON CONFLICT DO NOTHING" if quietly else ""
    start = _words("INSERT INTO", table.name, "(", ", ".join(_quoted(names)), ")")
    if tx.dialect.name == "postgresql":
        chosen = ", ".join(_quoted(names))
        given = _json(names, _decoded(rows, names.index(encoded)) if encoded else rows)
        tx.exec_driver_sql(_words(start, "SELECT", chosen, "FROM", _given(table, names), end), (given,))
    else:
        marks = ", ".join("CAST(? AS TEXT)" if name == encoded else "?" for name in names)
        tx.exec_driver_sql(_words(start, "VALUES (", marks, ")", end), list(rows))


def _decoded(rows: Sequence[Row], place: int) -> list[Row]:
    return [(*row[:place], row[place].decode(), *row[place + 1 :]) for row in rows]


def update(
    tx: Connection, table: Table, stream: int, key: str, names: Sequence[str], rows: Sequence[Row], *, also: str = ""
) -> None:
    """Set the columns `names` of the stream's rows; each of `rows` is the key's value and then theirs in that order.

    `also` are further assignments in SQL, the same for all rows.
    """
    if not rows:
        return
    if tx.dialect.name == "postgresql":
        sets = ", ".join([f"{name} = given.{name}" for name in _quoted(names)] + ([also] if also else []))
        given = [key, *names]
        statement = _words("UPDATE", table.name, "SET", sets, "FROM", _given(table, given))
        matched = _words("WHERE", f"{table.name}.stream = %s AND {table.name}.{key} = given.{key}")
        tx.exec_driver_sql(_words(statement, matched), (_json(given, rows), stream))
    else:
        sets = ", ".join([f"{name} = ?" for name in _quoted(names)] + ([also] if also else []))
        statement = _words("UPDATE", table.name, "SET", sets, "WHERE stream = ? AND", key, "= ?")
        tx.exec_driver_sql(statement, [(*row[1:], stream, row[0]) for row in rows])


def _words(*parts: str) -> str:
    """SQL from parts that are all ours: names of tables and columns, placeholders, keywords. Values never."""
    return " ".join(parts)


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]  # `into` is a keyword


def _json(names: Sequence[str], rows: Sequence[Row]) -> str:
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows]).decode()


def _given(table: Table, names: Sequence[str]) -> str:
    """The rows of the JSON text as a table `given`."""
    columns = [f'"{name}" {_type(table.c[name])}' for name in names]
    return _words("json_to_recordset(%s::json) AS given(", ", ".join(columns), ")")


def _type(column: Column[Any]) -> str:
    return next((name for kind, name in _TYPES if isinstance(column.type, kind)), "text")
