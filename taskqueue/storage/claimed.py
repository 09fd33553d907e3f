"""Which items were claimed lately, for producers that wait for an answer.

An INSERT whose answer is lost is sent again, unless its item stands there. If it was claimed and finished meanwhile no
row is left: then this tells that it was stored. Whoever claims notes what was put in lately, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from .rows import ItemRow
from .transaction import Transaction

#: A producer asks within so many milliseconds, or not at all; longer than a statement and its repetitions may take.
ASKED_WITHIN = 120_000
#: What was claimed so late that such a producer may still ask is kept so long (ms).
_KEPT = 2 * ASKED_WITHIN
_NOTE = "INSERT INTO {claimed} (claim_time, items) "
#: The part of a claim in one statement that notes what ``taken`` gives.
NOTED_OF_TAKEN = (
    f"{_NOTE}SELECT {{now}}, string_agg(uid || ':' || id || ':' || submit_time, ' ') FROM taken "
    f"WHERE submit_time > {{now}} - {ASKED_WITHIN} HAVING COUNT(*) > 0"
)


def note(tx: Transaction, rows: Sequence[ItemRow], moment: int) -> None:
    """Note which of the claimed rows a producer may still ask for, ``moment`` being now by the database's clock."""
    if tx.dialect.single_writer:
        return  # a file has no connection that could be lost
    fresh = [f"{row.uid}:{row.id}:{row.submit_time}" for row in rows if row.submit_time > moment - ASKED_WITHIN]
    if fresh:
        tx.change(f"{_NOTE}VALUES (:moment, :items)", moment=moment, items=" ".join(fresh))


def find(tx: Transaction, uid: str) -> tuple[int, int] | None:
    """The id and the submit time of the item with this uid, if it was claimed lately."""
    if tx.dialect.single_writer:
        return None
    for (items,) in tx.rows("SELECT items FROM {claimed} WHERE items LIKE :mark", mark=f"%{uid}:%"):
        for one, item_id, submitted in (mark.split(":") for mark in items.split(" ")):
            if one == uid:
                return int(item_id), int(submitted)
    return None


def forget(tx: Transaction) -> None:
    """Remove what nobody asks for any more."""
    if tx.dialect.single_writer:
        return
    tx.change("DELETE FROM {claimed} WHERE claim_time < {now} - :age", age=_KEPT)
