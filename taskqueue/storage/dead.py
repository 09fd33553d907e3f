"""The statements on what has ended otherwise than ok: dead letters and endings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .rows import listed
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
    traceback: str | None


class EndingRow(NamedTuple):
    """An ending as stored."""

    item_id: int
    outcome: str
    attempt: int
    error: str | None
    traceback: str | None
    end_time: int


#: The outcome in the row that tells up to which item endings may have been pruned.
PRUNED = "pruned"
_COLUMNS = ", ".join(DeadRow._fields)
#: ``$key`` is the dedup_key that the items get.
_COPY = (
    "{insert} {item} (id, queue_name, uid, weight, submit_time, run_count, fence, dedup_key, order_key, data, "
    "last_error) "
    "SELECT id, queue_name, uid, weight, submit_time, run_count, fence + 1, $key, order_key, data, error "
    "FROM {dead} WHERE id IN ($ids) "
)


class DeadLetters:
    """The statements on ``dead`` and ``ending``, for one queue."""

    def __init__(self, queue_name: str) -> None:
        self._queue = queue_name

    def page(
        self, tx: Transaction, limit: int, after_id: int, since: int | None = None, until: int | None = None
    ) -> list[DeadRow]:
        """Up to ``limit`` dead letters with ids above ``after_id``, by id, that died in [since, until)."""
        return [DeadRow(*row) for row in self._page(tx, _COLUMNS, limit, after_id, since, until)]

    def ids(
        self, tx: Transaction, limit: int, after_id: int, since: int | None = None, until: int | None = None
    ) -> list[int]:
        """The ids of :meth:`page` alone."""
        return [row[0] for row in self._page(tx, "id", limit, after_id, since, until)]

    def _page(
        self, tx: Transaction, columns: str, limit: int, after_id: int, since: int | None, until: int | None
    ) -> Sequence[Any]:
        conditions, values = ["queue_name = :queue", "id > :after"], {"queue": self._queue, "after": after_id}
        if since is not None:
            conditions.append("dead_time >= :since")
            values["since"] = since
        if until is not None:
            conditions.append("dead_time < :until")
            values["until"] = until
        return tx.rows(
            f"SELECT {columns} FROM {{dead}} WHERE {' AND '.join(conditions)} ORDER BY id LIMIT $limit",
            {"limit": str(int(limit))},
            **values,
        )

    def fetch(self, tx: Transaction, ids: Iterable[int]) -> list[DeadRow]:
        """Those of the ids that are dead letters of the queue, by id."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM {{dead}} WHERE queue_name = :queue AND id IN ($ids) ORDER BY id",
            listed(ids),
            queue=self._queue,
        )
        return [DeadRow(*row) for row in rows]

    def with_uids(self, tx: Transaction, uids: Iterable[str]) -> list[int]:
        """The ids of those with these uids, which must be hexadecimal."""
        listed_uids = ", ".join(f"'{uid}'" for uid in sorted(uids)) or "NULL"
        rows = tx.rows(
            "SELECT id FROM {dead} WHERE uid IN ($uids) AND queue_name = :queue", {"uids": listed_uids},
            queue=self._queue,
        )  # fmt: skip
        return [row[0] for row in rows]

    def latest(self, tx: Transaction) -> DeadRow | None:
        """The one that died last."""
        row = tx.row(
            f"SELECT {_COLUMNS} FROM {{dead}} WHERE queue_name = :queue ORDER BY dead_time DESC LIMIT 1",
            queue=self._queue,
        )
        return DeadRow(*row) if row else None

    def count(self, tx: Transaction) -> int:
        """How many there are."""
        return int(tx.row("SELECT COUNT(*) FROM {dead} WHERE queue_name = :queue", queue=self._queue)[0])

    def revive(self, tx: Transaction, ids: Iterable[int]) -> set[int]:
        """Put dead letters back into the queue under their old ids, ready, with fresh attempts; return their ids."""
        found = self._lock(tx, ids)
        if not found:
            return found
        self._put_back(tx, found)
        tx.change(
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
            "SELECT queue_name, id, 'revived', failures, {now} FROM {dead} WHERE id IN ($ids)",
            listed(found),
        )
        self._remove(tx, found)
        return found

    def _put_back(self, tx: Transaction, ids: set[int]) -> None:
        """Copy them to the items, each with its key unless another item has taken that, or takes it at this moment."""
        rows = listed(ids)
        if tx.change(_COPY + "ORDER BY id {on_duplicate}", {**rows, "key": "dedup_key"}) < len(ids):
            tx.change(_COPY + "AND id NOT IN (SELECT id FROM {item} WHERE id IN ($ids))", {**rows, "key": "NULL"})

    def delete(self, tx: Transaction, ids: Iterable[int]) -> set[int]:
        """Throw dead letters away, on record; return the ids of those that there were."""
        found = self._lock(tx, ids)
        if found:
            tx.change(
                "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, error, data, end_time) "
                "SELECT queue_name, id, 'delete', failures, error, data, {now} FROM {dead} WHERE id IN ($ids)",
                listed(found),
            )
            self._remove(tx, found)
        return found

    def _lock(self, tx: Transaction, ids: Iterable[int]) -> set[int]:
        """Those that are still there: what two want to move at the same moment, one of them gets."""
        rows = tx.rows(
            "SELECT id FROM {dead} WHERE queue_name = :queue AND id IN ($ids) ORDER BY id {for_update}",
            listed(ids),
            queue=self._queue,
        )
        return {row[0] for row in rows}

    def _remove(self, tx: Transaction, ids: Iterable[int]) -> None:
        tx.change("DELETE FROM {dead} WHERE id IN ($ids)", listed(ids))

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

    def history(self, tx: Transaction, item_id: int) -> list[EndingRow]:
        """What is on record of an item, the oldest first."""
        rows = tx.rows(
            f"SELECT {', '.join(EndingRow._fields)} FROM {{ending}} "
            "WHERE queue_name = :queue AND item_id = :id ORDER BY id",
            queue=self._queue,
            id=item_id,
        )
        return [EndingRow(*row) for row in rows if row[1] not in ("reset", PRUNED)]

    def ending_of(self, tx: Transaction, item_id: int) -> str | None:
        """The latest recorded outcome of an item, or None when none was recorded."""
        row = tx.row(
            "SELECT outcome FROM {ending} WHERE queue_name = :queue AND item_id = :id AND outcome NOT IN "
            f"('abort', 'reset', 'retry', '{PRUNED}') AND id > (SELECT COALESCE(MAX(id), 0) FROM {{ending}} "
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

    def is_forgotten(self, tx: Transaction, item_id: int) -> bool:
        """Whether the item may have gone in a reset, or its ending in a pruning."""
        row = tx.row(
            f"SELECT id FROM {{ending}} WHERE queue_name = :queue AND outcome IN ('reset', '{PRUNED}') "
            "AND item_id >= :id LIMIT 1",
            queue=self._queue,
            id=item_id,
        )
        return bool(row)
