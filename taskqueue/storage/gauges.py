"""The statements that count everything in a database: one pass over an index for all queues together."""

from __future__ import annotations

from typing import NamedTuple

from .schema import DELAYED, LEASED, READY
from .transaction import Transaction


class QueueGauges(NamedTuple):
    """How many items of a queue are in which state, and the age of the oldest ready one (seconds, 0: none)."""

    ready: int = 0
    leased: int = 0
    delayed: int = 0
    dead: int = 0
    oldest: float = 0.0


def count_all(tx: Transaction) -> dict[str, QueueGauges]:
    """The numbers of each queue that is registered or holds anything, by name."""
    queues = {row[0]: QueueGauges() for row in tx.rows("SELECT name FROM {queue}")}
    oldest = {}
    for name, ready, leased, delayed, oldest_id in tx.rows(_ITEMS):
        queues[name] = QueueGauges(int(ready), int(leased), int(delayed))
        oldest[name] = oldest_id
    for name, dead in tx.rows("SELECT queue_name, COUNT(*) FROM {dead} GROUP BY queue_name"):
        queues[name] = queues.get(name, QueueGauges())._replace(dead=int(dead))
    for name, age in _ages(tx, [item_id for item_id in oldest.values() if item_id is not None]):
        queues[name] = queues[name]._replace(oldest=max(int(age), 0) / 1000)
    return queues


_IS_READY = f"state = {READY} OR release_time <= {{now}}"
# Ids grow with time, and unlike the time they stand in the index that counts.
_ITEMS = (
    f"SELECT queue_name, SUM(CASE WHEN {_IS_READY} THEN 1 ELSE 0 END), "
    f"SUM(CASE WHEN state = {LEASED} AND release_time > {{now}} THEN 1 ELSE 0 END), "
    f"SUM(CASE WHEN state = {DELAYED} AND release_time > {{now}} THEN 1 ELSE 0 END), "
    f"MIN(CASE WHEN {_IS_READY} THEN id END) FROM {{item}} GROUP BY queue_name"
)


def _ages(tx: Transaction, ids: list[int]) -> list[tuple[str, int]]:
    """Milliseconds since these items were submitted, by the names of their queues."""
    listed = {"ids": ", ".join(str(int(item_id)) for item_id in ids) or "NULL"}
    return [
        tuple(row) for row in tx.rows("SELECT queue_name, {now} - submit_time FROM {item} WHERE id IN ($ids)", listed)
    ]


def count_workers(tx: Transaction, stale_after: int) -> int:
    """How many workers gave a sign of life in the last ``stale_after`` ms, or within two beats of their own."""
    row = tx.row(
        "SELECT COUNT(*) FROM {holder} WHERE worker IS NOT NULL AND "
        "(beat_time >= {now} - :age OR beat_time >= {now} - 2 * beat_period)",
        age=stale_after,
    )
    return int(row[0])
