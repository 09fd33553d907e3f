"""The statements that end or renew a lease, guarded by the item's fence.

By id and fence alone: with the name of the queue beside a list of ids, planners leave the primary key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import claimed
from .reading import Reading
from .rows import Held, Sent, Standing, guarded, listed
from .schema import DELAYED, LEASED, READY
from .transaction import Transaction

#: Outcomes that leave the item in the queue.
_STAYING = ("abort", "retry")


class Settling(Reading):
    """How items of one queue are held, and leave the hands of their holder."""

    def renew(self, tx: Transaction, held: Sequence[Held], lease: int) -> int:
        """Prolong leases that are still valid, by (id, fence); return how many were."""
        guard, lists, values = guarded(held)
        return tx.change(
            f"UPDATE {{item}} SET release_time = {{now}} + :lease WHERE {guard} "
            f"AND state = {LEASED} AND release_time > {{now}}",
            lists,
            lease=lease,
            **values,
        )

    def valid(self, tx: Transaction, held: Sequence[Held], *, leased: bool = False) -> dict[int, Standing]:
        """By id, those of (id, fence) whose fence has not moved on, locked until the end of the transaction."""
        also = f" AND state = {LEASED} AND release_time > {{now}}" if leased else ""
        guard, lists, values = guarded(held)
        rows = tx.rows(
            f"SELECT id, state, is_cancelled, batch_id, order_key FROM {{item}} WHERE {guard}{also} {{for_update}}",
            lists,
            **values,
        )
        return {row[0]: Standing(row[1], bool(row[2]), row[3], row[4]) for row in rows}

    def fences(self, tx: Transaction, ids: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Fence and state of those ids that still stand anywhere."""
        rows = tx.rows("SELECT id, fence, state FROM {item} WHERE id IN ($ids)", listed(ids))
        return {row[0]: (row[1], row[2]) for row in rows}

    def lock(self, tx: Transaction, item_id: int) -> tuple[int, bool] | None:
        """The fence of an item of this queue, and whether somebody holds it; locked like :meth:`valid`."""
        row = tx.row(
            f"SELECT fence, CASE WHEN state = {LEASED} AND release_time > {{now}} THEN 1 ELSE 0 END FROM {{item}} "
            "WHERE id = :id AND queue_name = :queue {for_update}",
            id=item_id,
            queue=self._queue,
        )
        return (row[0], bool(row[1])) if row else None

    def ask_to_stop(self, tx: Transaction, item_id: int) -> None:
        """Mark an item whose holder shall give it up; it is never executed again."""
        tx.change("UPDATE {item} SET is_cancelled = 1 WHERE id = :id", id=item_id)

    def cancelled(self, tx: Transaction, ids: Iterable[int]) -> set[int]:
        """Those of the ids whose holder was asked to stop."""
        rows = tx.rows("SELECT id FROM {item} WHERE id IN ($ids) AND is_cancelled = 1", listed(ids))
        return {row[0] for row in rows}

    def note_unclaimed(self, tx: Transaction, held: Sequence[Held]) -> None:
        """To be called before items are deleted that nobody may have claimed: their producers may ask for them."""
        guard, lists, values = guarded(held)
        rows = tx.rows(f"SELECT {{now}}, id, uid, submit_time FROM {{item}} WHERE {guard}", lists, **values)
        if rows:
            claimed.note(tx, [Sent(*row[1:]) for row in rows], int(rows[0][0]))

    def delete(self, tx: Transaction, held: Sequence[Held]) -> int:
        """Delete by (id, fence); return how many were still there under that fence."""
        guard, lists, values = guarded(held)
        return tx.change(f"DELETE FROM {{item}} WHERE {guard}", lists, **values)

    def delete_each(self, tx: Transaction, held: Sequence[Held]) -> set[int]:
        """The same where a DELETE can tell what it has found; return the ids of those."""
        guard, lists, values = guarded(held)
        return {row[0] for row in tx.rows(f"DELETE FROM {{item}} WHERE {guard} RETURNING id", lists, **values)}

    def put_back(
        self, tx: Transaction, held: Sequence[Held], *, delay: int, changes: str = "", holder: str = "", **more: Any
    ) -> int:
        """Let go of leases by (id, fence), hidden for ``delay`` ms; ``changes`` are further assignments.

        What was cancelled must not come back, and is left as it is.
        """
        guard, lists, values = guarded(held)
        if delay > 0:
            place = f"state = {DELAYED}, release_time = {{now}} + :delay"
            values["delay"] = delay
        else:
            place = f"state = {READY}, release_time = 0"
        return tx.change(
            f"UPDATE {{item}} SET {place}, holder = '{holder}', fence = fence + 1{changes} "
            f"WHERE {guard} AND is_cancelled = 0",
            lists,
            **values,
            **more,
        )

    def bury(self, tx: Transaction, held: Sequence[Held], error: str, traceback: str | None = None) -> None:
        """Copy items to the dead letters, with the failure that killed them counted."""
        guard, lists, values = guarded(held)
        tx.change(
            "INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, run_count, fence, failures, dedup_key, "
            "order_key, data, error, dead_time, traceback) SELECT id, queue_name, uid, weight, submit_time, run_count, "
            f"fence, failures + 1, dedup_key, order_key, data, :error, {{now}}, :traceback FROM {{item}} WHERE {guard}",
            lists,
            error=error,
            traceback=traceback,
            **values,
        )

    def record(
        self, tx: Transaction, held: Sequence[Held], outcome: str, error: str | None, traceback: str | None = None
    ) -> None:
        """Write down that items ended (or an attempt did) otherwise than ok."""
        guard, lists, values = guarded(held)
        tx.change(
            "INSERT INTO {ending} "
            "(queue_name, item_id, outcome, attempt, error, data, end_time, uid, weight, traceback) "
            "SELECT queue_name, id, :outcome, failures + 1, :error, "
            # What stays in the queue need not be copied.
            f"{'data' if outcome not in _STAYING else 'NULL'}, {{now}}, uid, weight, :traceback FROM {{item}} "
            f"WHERE {guard}",
            lists,
            outcome=outcome,
            error=error,
            traceback=traceback,
            **values,
        )

    def clear(self, tx: Transaction) -> tuple[int, int]:
        """Delete everything; return how many items, and the highest id among them (0 when there was none)."""
        highest = tx.row("SELECT COALESCE(MAX(id), 0) FROM {item} WHERE queue_name = :queue", queue=self._queue)[0]
        return tx.change("DELETE FROM {item} WHERE queue_name = :queue", queue=self._queue), int(highest)
