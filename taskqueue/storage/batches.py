"""The statements on batches: items that belong together, and what follows when the last of them has ended."""

from __future__ import annotations

from typing import NamedTuple

from .dialects import Dialect
from .transaction import Transaction


class BatchRow(NamedTuple):
    """A batch as stored."""

    id: int
    total: int
    pending: int
    failed: int
    uid: str
    weight: int
    data: str


class Batches:
    """The statements on ``batch``, for one queue."""

    def __init__(self, dialect: Dialect, queue_name: str) -> None:
        self._dialect = dialect
        self._queue = queue_name

    def insert(self, tx: Transaction, *, uid: str, weight: int, data: str) -> int:
        """Begin a batch, of nothing as yet, with its packed callback; return its id."""
        statement = (
            "INSERT INTO {batch} (queue_name, uid, weight, data, create_time) "
            "VALUES (:queue, :uid, :weight, :data, {now})"
        )
        values = {"queue": self._queue, "uid": uid, "weight": weight, "data": data}
        if self._dialect.returning:
            return int(tx.row(f"{statement} RETURNING id", **values)[0])
        return tx.insert(statement, **values)

    def fill(self, tx: Transaction, batch_id: int, total: int) -> None:
        """Write down how many items belong to it, in the transaction that has inserted them."""
        tx.change("UPDATE {batch} SET total = :total, pending = :total WHERE id = :id", id=batch_id, total=total)

    def count(self, tx: Transaction, batch_id: int, ended: int, failed: int) -> BatchRow | None:
        """Count items that have ended; return the batch if they were its last ones.

        The row stays locked until the end of the transaction: of several that count at once, one is the last.
        """
        tx.change(
            # The end first: MySQL takes the values from left to right, and would see what is pending afterwards.
            "UPDATE {batch} SET end_time = CASE WHEN pending = :ended THEN {now} ELSE 0 END, "
            "pending = pending - :ended, failed = failed + :failed WHERE id = :id",
            id=batch_id,
            ended=ended,
            failed=failed,
        )
        batch = self.find(tx, batch_id)
        return batch if batch is not None and batch.pending == 0 else None

    def find(self, tx: Transaction, batch_id: int) -> BatchRow | None:
        """A batch of this queue, or None."""
        row = tx.row(
            f"SELECT {', '.join(BatchRow._fields)} FROM {{batch}} WHERE id = :id AND queue_name = :queue",
            id=batch_id,
            queue=self._queue,
        )
        return BatchRow(*row) if row else None

    def clear(self, tx: Transaction) -> None:
        """Forget all batches of the queue."""
        tx.change("DELETE FROM {batch} WHERE queue_name = :queue", queue=self._queue)
