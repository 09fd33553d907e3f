"""Which items have left the ready ones lately, for producers that wait for an answer.

An INSERT whose answer is lost is sent again, unless its item stands there. If it was claimed and finished meanwhile no
row is left: then this tells that it was stored. Whoever claims an item, or removes one that nobody has claimed, notes
it first, in the same transaction where there is one. A note says no more than that there was such an item, so that one
too many does no harm; but an uid that is looked for must never be used again for another item.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .rows import CHUNK, listed
from .transaction import Transaction

#: A producer asks within so many milliseconds, or not at all; longer than a statement and its repetitions may take.
ASKED_WITHIN = 120_000
#: The look begins so many milliseconds earlier than it has to: the clocks that are compared are not the same.
SLACK = 60_000
#: Notes are kept so long (ms).
_KEPT = 2 * ASKED_WITHIN
_NOTE = "INSERT INTO {claimed} (claim_time, items) "
#: The part of a claim in one statement that notes what ``taken`` gives.
NOTED_OF_TAKEN = (
    f"{_NOTE}SELECT {{now}}, string_agg(uid || ':' || id || ':' || submit_time, ' ') FROM taken "
    f"WHERE submit_time > {{now}} - {ASKED_WITHIN} HAVING COUNT(*) > 0"
)


class Noted(Protocol):
    """What is noted of an item."""

    @property
    def id(self) -> int: ...
    @property
    def uid(self) -> str: ...
    @property
    def submit_time(self) -> int: ...


def note(tx: Transaction, rows: Iterable[Noted], moment: int) -> None:
    """Note those rows that a producer may still ask for, ``moment`` being now by the database's clock."""
    if tx.dialect.single_writer:
        return  # a file has no connection that could be lost
    fresh = [f"{row.uid}:{row.id}:{row.submit_time}" for row in rows if row.submit_time > moment - ASKED_WITHIN]
    if fresh:
        tx.change(f"{_NOTE}VALUES (:moment, :items)", moment=moment, items=" ".join(fresh))


def find(tx: Transaction, uid: str) -> tuple[int, int] | None:
    """The id and the submit time of the item with this uid, if a note was made of it since this work was sent first."""
    if tx.dialect.single_writer:
        return None
    found = tx.rows(
        "SELECT items FROM {claimed} WHERE claim_time > {now} - :age AND items LIKE :mark",
        age=tx.age + SLACK,
        mark=f"%{uid}:%",
    )
    for (items,) in found:
        for one, item_id, submitted in (mark.split(":") for mark in items.split(" ")):
            if one == uid:
                return int(item_id), int(submitted)
    return None


def forget(tx: Transaction) -> None:
    """Remove what nobody asks for any more, some at a time, and by their ids: so nobody has to wait for it."""
    while True:
        rows = tx.rows(
            f"SELECT id FROM {{claimed}} WHERE claim_time < {{now}} - {_KEPT} ORDER BY claim_time LIMIT {CHUNK}"
        )
        if rows:
            tx.change("DELETE FROM {claimed} WHERE id IN ($ids)", listed(row[0] for row in rows))
        if len(rows) < CHUNK:
            return
