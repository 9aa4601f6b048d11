"""What is kept encrypted, each bound to its place: Fernet over the value and the place's name, so that what was moved
elsewhere does not open there.
"""

from __future__ import annotations

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Connection

Where = tuple[str, str]
"""(connection, name) of a row of `tokens`."""


def sealed(box: Fernet | MultiFernet, where: Where, value: str) -> str:
    """`value` encrypted, to be kept there and nowhere else."""
    return box.encrypt(orjson.dumps({"for": where, "token": value})).decode()


def opened(box: Fernet | MultiFernet, where: Where, ciphertext: str) -> str:
    """The value that is kept there. Raises InvalidToken for another key, a changed row, or one that was moved."""
    told = orjson.loads(box.decrypt(ciphertext.encode()))
    if told["for"] != list(where):
        raise InvalidToken
    return str(told["token"])


def with_others(tx: Connection) -> None:
    """Until `tx` ends nobody changes the keys: those that are read now are the ones to encrypt with."""
    if tx.dialect.name == "postgresql":  # SQLite has one writer
        tx.exec_driver_sql("LOCK TABLE tokens IN ROW EXCLUSIVE MODE")


def alone(tx: Connection) -> None:
    """Until `tx` ends nobody else encrypts anything here; what is kept can be read."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("LOCK TABLE tokens IN EXCLUSIVE MODE")
