"""The statements on what has ended otherwise than ok: dead letters and endings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .transaction import Transaction


class DeadRow(NamedTuple):
    """A dead letter as stored."""

    id: int
    uid: str
    weight: int
    submit_time: int
    run_count: int
    fence: int
    failures: int
    dedup_key: str | None
    data: str
    error: str
    dead_time: int


class DeadLetters:
    """The statements on ``dead`` and ``ending``, for one queue."""

    def __init__(self, queue_name: str) -> None:
        self._queue = queue_name

    def page(self, tx: Transaction, limit: int, after_id: int) -> list[DeadRow]:
        """Up to ``limit`` dead letters with ids above ``after_id``, in the order of their ids."""
        rows = tx.rows(
            f"SELECT {', '.join(DeadRow._fields)} FROM {{dead}} WHERE queue_name = :queue AND id > :after "
            "ORDER BY id LIMIT $limit",
            {"limit": str(int(limit))},
            queue=self._queue,
            after=after_id,
        )
        return [DeadRow(*row) for row in rows]

    def count(self, tx: Transaction) -> int:
        """How many there are."""
        return int(tx.row("SELECT COUNT(*) FROM {dead} WHERE queue_name = :queue", queue=self._queue)[0])

    def revive(self, tx: Transaction, ids: Sequence[int]) -> set[int]:
        """Put dead letters back into the queue under their old ids, ready, with fresh attempts."""
        return {item_id for item_id in sorted(ids) if self._revive_one(tx, item_id)}

    def _revive_one(self, tx: Transaction, item_id: int) -> bool:
        values = {"queue": self._queue, "id": item_id}
        if not tx.row("SELECT id FROM {dead} WHERE queue_name = :queue AND id = :id {for_update}", **values):
            return False  # somebody else was quicker
        # The key comes back with its item, unless another item has taken it meanwhile.
        taken = (
            "EXISTS (SELECT 1 FROM {item} AS other WHERE other.queue_name = :queue "
            "AND other.dedup_key = letter.dedup_key)"
        )
        tx.change(
            "INSERT INTO {item} "
            "(id, queue_name, uid, weight, submit_time, run_count, fence, dedup_key, data, last_error) "
            "SELECT id, queue_name, uid, weight, submit_time, run_count, fence + 1, "
            f"CASE WHEN {taken} THEN NULL ELSE dedup_key END, data, error "
            "FROM {dead} AS letter WHERE queue_name = :queue AND id = :id",
            **values,
        )
        tx.change(
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
            "SELECT queue_name, id, 'revived', failures, {now} FROM {dead} WHERE queue_name = :queue AND id = :id",
            **values,
        )
        return tx.change("DELETE FROM {dead} WHERE queue_name = :queue AND id = :id", **values) == 1

    def delete(self, tx: Transaction, ids: Sequence[int]) -> int:
        """Throw dead letters away, on record; return how many there were."""
        return sum(self._delete_one(tx, item_id) for item_id in sorted(ids))

    def _delete_one(self, tx: Transaction, item_id: int) -> int:
        values = {"queue": self._queue, "id": item_id}
        tx.change(
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, error, data, end_time) "
            "SELECT queue_name, id, 'delete', failures, error, data, {now} FROM {dead} "
            "WHERE queue_name = :queue AND id = :id",
            **values,
        )
        return tx.change("DELETE FROM {dead} WHERE queue_name = :queue AND id = :id", **values)

    def clear(self, tx: Transaction) -> None:
        """Delete all dead letters of the queue."""
        tx.change("DELETE FROM {dead} WHERE queue_name = :queue", queue=self._queue)

    # --- endings -------------------------------------------------------------------------------

    def record_reset(self, tx: Transaction, highest_id: int) -> None:
        """Write down that all items up to ``highest_id`` were thrown away together."""
        tx.change(
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
            "VALUES (:queue, :id, 'reset', 0, {now})",
            queue=self._queue,
            id=highest_id,
        )

    def is_dead(self, tx: Transaction, item_id: int) -> bool:
        """Whether the item is a dead letter."""
        values = {"queue": self._queue, "id": item_id}
        return bool(tx.row("SELECT id FROM {dead} WHERE queue_name = :queue AND id = :id", **values))

    def ending_of(self, tx: Transaction, item_id: int) -> str | None:
        """The latest recorded outcome of an item, or None when none was recorded."""
        row = tx.row(
            "SELECT outcome FROM {ending} WHERE queue_name = :queue AND item_id = :id AND outcome NOT IN "
            "('abort', 'reset', 'retry') AND id > (SELECT COALESCE(MAX(id), 0) FROM {ending} "
            "WHERE queue_name = :queue AND outcome = 'reset' AND item_id >= :id) ORDER BY id DESC LIMIT 1",
            queue=self._queue,
            id=item_id,
        )
        return row[0] if row and row[0] != "revived" else None

    def recreate(self, tx: Transaction, item_id: int) -> bool:
        """Put a removed item back, as a new one with the old content; whether there is a record of it."""
        row = tx.row(
            "SELECT id FROM {ending} WHERE queue_name = :queue AND item_id = :id AND outcome = 'delete' "
            "AND uid IS NOT NULL ORDER BY id DESC LIMIT 1",
            queue=self._queue,
            id=item_id,
        )
        if not row:
            return False
        tx.change(
            "INSERT INTO {item} (queue_name, uid, weight, submit_time, data) "
            "SELECT queue_name, uid, weight, {now}, data FROM {ending} WHERE id = :ending",
            ending=row[0],
        )
        tx.change("UPDATE {ending} SET uid = NULL WHERE id = :ending", ending=row[0])  # it can be put back once only
        return True

    def was_reset(self, tx: Transaction, item_id: int) -> bool:
        """Whether the item stood, or may have stood, in the queue when it was reset."""
        row = tx.row(
            "SELECT id FROM {ending} WHERE queue_name = :queue AND outcome = 'reset' AND item_id >= :id LIMIT 1",
            queue=self._queue,
            id=item_id,
        )
        return bool(row)
