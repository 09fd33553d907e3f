"""The proxy sees the right statements go by, however the bytes are cut."""

from __future__ import annotations

import pytest

from tests.faults.wire import MariaDBWire, PostgreSQLWire, Wire
from tests.statements import Conversation


def packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def message(letter: bytes, body: bytes) -> bytes:
    return letter + (len(body) + 4).to_bytes(4, "big") + body


MARIADB = packet(1, b"\x03 is how this greeting begins") + packet(0, b"\x03COMMIT") + packet(0, b"\x0e")
POSTGRESQL = (
    (8).to_bytes(4, "big") + (80_877_103).to_bytes(4, "big") + (12).to_bytes(4, "big") + b"\0\3\0\0user"
    + message(b"P", b"_pg3_0\0UPDATE t\0\0\0") + message(b"S", b"")
    + message(b"B", b"\0_pg3_0\0" + b"\0" * 6) + message(b"E", b"\0\0\0\0\0") + message(b"Q", b"COMMIT\0")
)  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    ("wire", "sent", "expected"),
    [(MariaDBWire(), MARIADB, ["COMMIT"]), (PostgreSQLWire(), POSTGRESQL, ["UPDATE t", "COMMIT"])],
    ids=["mariadb", "postgresql"],
)
def test_given_bytes_in_pieces_when_they_go_by_then_what_is_executed_is_seen(
    wire: Wire, sent: bytes, expected: list[str], step: int
) -> None:
    wire = type(wire)()
    pieces = [sent[begin : begin + step] for begin in range(0, len(sent), step)]

    assert [sql for piece in pieces for sql in wire.statements(piece)] == expected


def test_given_a_conversation_when_something_becomes_durable_then_that_is_known() -> None:
    talk = Conversation()
    said = ["SET AUTOCOMMIT = 0", "INSERT 1", "COMMIT", "SET AUTOCOMMIT = 1", "INSERT 2", "BEGIN", "UPDATE 3",
            "SELECT 4", "COMMIT", "START TRANSACTION", "DELETE 5", "ROLLBACK", "WITH 6"]  # fmt: skip

    assert [sql for sql in said if talk.commits(sql)] == ["COMMIT", "INSERT 2", "COMMIT", "WITH 6"]
