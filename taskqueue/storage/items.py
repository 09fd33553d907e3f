"""The statements on the hot table: insert, claim, promote, settle, count.

A claim touches only rows that are ready, found by one seek in one index; everything that ends or renews a lease is
guarded by the item's fence, and says which rows it did not find any more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .dialects import Dialect, MySQL, PostgreSQL
from .schema import DELAYED, IS_DELAYED, LEASED, READY
from .transaction import Transaction

#: How many rows one statement promotes or moves at a time: long enough to be quick, short enough to let others in.
CHUNK = 500
_COLUMNS = (
    "id, uid, weight, submit_time, release_time, run_count, fence, failures, interruptions, last_error, data, "
    "is_cancelled, batch_id"
)


class ItemRow(NamedTuple):
    """An item as stored."""

    id: int
    uid: str
    weight: int
    submit_time: int
    release_time: int
    run_count: int
    fence: int
    failures: int
    interruptions: int
    last_error: str | None
    data: str
    is_cancelled: int = 0
    batch_id: int | None = None


class Standing(NamedTuple):
    """What decides, besides its fence, how an item may leave the queue."""

    is_cancelled: bool
    batch_id: int | None


class Place(NamedTuple):
    """Where an item stands; ``wait`` is milliseconds until its lease or delay ends."""

    id: int
    uid: str
    fence: int
    state: int
    failures: int
    wait: int
    last_error: str | None
    data: str


class Counts(NamedTuple):
    """How many items of a queue are in which state, as of the database's clock."""

    ready: int
    leased: int
    delayed: int


class Items:
    """The statements on ``item``, for one queue."""

    def __init__(self, dialect: Dialect, queue_name: str) -> None:
        self._dialect = dialect
        self._queue = queue_name
        #: Else a claim needs a transaction.
        self.claims_in_one_statement = not isinstance(dialect, MySQL)

    # --- coming in -----------------------------------------------------------------------------

    def insert(
        self, tx: Transaction, *, uid: str, weight: int, data: str, due: str = "0", due_value: int = 0,
        dedup_key: str | None = None, until_start: bool = False, call: bool = False,
    ) -> tuple[int, int, int] | None:  # fmt: skip
        """Insert one item; return its id, submit and release time, or None if its ``dedup_key`` is taken.

        ``due`` is an SQL expression of ``:due_value`` for the moment before which the item stays hidden, or "0".
        With ``until_start`` the key is free again as soon as the item is claimed. With ``call``, workers that listen
        are told, where the database can do that.
        """
        keyed = dedup_key is not None
        hidden = due != "0"
        statement = (
            ("{insert}" if keyed else "INSERT INTO")
            + " {item} (queue_name, uid, weight, submit_time, state, release_time, dedup_key, until_start, data)"
            + " VALUES (:queue, :uid, :weight, {now}, "
            + (f"CASE WHEN {due} > {{now}} THEN {DELAYED} ELSE {READY} END, " if hidden else f"{READY}, ")
            + (f"CASE WHEN {due} > {{now}} THEN {due} ELSE 0 END" if hidden else "0")
            + ", :dedup_key, :until_start, :data)"
            + (" {on_duplicate}" if keyed else "")
        )
        values: dict[str, Any] = {"queue": self._queue, "uid": uid, "weight": weight, "data": data}
        values.update(dedup_key=dedup_key, until_start=int(until_start))
        if hidden:
            values["due_value"] = due_value
        if self._dialect.returning:
            told = f", {self._dialect.call}" if call and self._dialect.call else ""
            row = tx.row(f"{statement} RETURNING id, submit_time, release_time{told}", **values)
            return (row[0], row[1], row[2]) if row else None
        found = tx.insert(statement, **values)
        return self._submitted(tx, found) if found else None

    def _submitted(self, tx: Transaction, item_id: int) -> tuple[int, int, int]:
        row = tx.row("SELECT id, submit_time, release_time FROM {item} WHERE id = :id", id=item_id)
        return row[0], row[1], row[2]

    def insert_many(self, tx: Transaction, rows: Sequence[dict[str, Any]], batch_id: int | None = None) -> None:
        """Insert rows of ``uid``, ``weight`` and ``data``, ready at once, in as few round trips as the driver can."""
        submitted = tx.row("SELECT {now}")[0]
        column, value = (", batch_id", ", :batch") if batch_id is not None else ("", "")
        for row in rows:
            row.update(queue=self._queue, submitted=submitted, batch=batch_id)
        # Nothing but parameters among the values: only so does PyMySQL send many rows in one statement.
        tx.many(
            f"INSERT INTO {{item}} (queue_name, uid, weight, submit_time, data{column}) "
            f"VALUES (:queue, :uid, :weight, :submitted, :data{value})",
            rows,
        )

    def tell(self, tx: Transaction) -> None:
        """Tell workers that listen, where the database can do that, once this is committed."""
        if self._dialect.call:
            tx.row(f"SELECT {self._dialect.call}", queue=self._queue)

    def with_key(self, tx: Transaction, dedup_key: str) -> ItemRow | None:
        """The item that stands with this key; waits for a transaction that is just writing one."""
        return self._one(
            tx, "SELECT {columns} FROM {{item}} WHERE queue_name = :queue AND dedup_key = :key {{share}}", key=dedup_key
        )

    def with_uid(self, tx: Transaction, uid: str, age: int) -> ItemRow | None:
        """The item with this uid among those submitted in the last ``age`` ms: was my lost insert committed?"""
        since = int(tx.row("SELECT {now}")[0]) - age
        edge: int | None = None
        while True:
            below = "AND id < :edge" if edge is not None else ""
            rows = tx.rows(
                f"SELECT id, uid, submit_time FROM {{item}} WHERE id > 0 {below} ORDER BY id DESC LIMIT {CHUNK}",
                **({"edge": edge} if edge is not None else {}),
            )
            found = next((row[0] for row in rows if row[1] == uid), None)
            if found is not None:
                return next(iter(self.fetch(tx, [found])), None)
            if len(rows) < CHUNK or rows[-1][2] < since:
                return None
            edge = rows[-1][0]

    # --- reading -------------------------------------------------------------------------------

    def _one(self, tx: Transaction, template: str, **values: Any) -> ItemRow | None:
        row = tx.row(template.format(columns=_COLUMNS), queue=self._queue, **values)
        return ItemRow(*row) if row else None

    def fetch(self, tx: Transaction, ids: Iterable[int]) -> list[ItemRow]:
        """Those of the ids that stand in this queue, in no particular order."""
        statement = f"SELECT queue_name, {_COLUMNS} FROM {{item}} WHERE id IN ($ids)"
        return [ItemRow(*row[1:]) for row in tx.rows(statement, listed(ids)) if row[0] == self._queue]

    def place(self, tx: Transaction, item_id: int) -> Place | None:
        """Where an item of this queue stands, or None."""
        row = tx.row(
            "SELECT id, uid, fence, state, failures, release_time - {now}, last_error, data FROM {item} "
            "WHERE id = :id AND queue_name = :queue",
            id=item_id,
            queue=self._queue,
        )
        return Place(*row) if row else None

    def page(self, tx: Transaction, state: int, limit: int, after: tuple[int, int] | None) -> list[ItemRow]:
        """Up to ``limit`` items of one state in the order of the queue, after a (weight, id)."""
        if after is None:
            return self._stretch(tx, state, limit, "")
        weight, item_id = after
        # First the rest of that weight, then what is heavier: no database reads a comparison of pairs by index on all
        # the indexes that we have.
        rows = self._stretch(tx, state, limit, "AND weight = :weight AND id > :id", weight=weight, id=item_id)
        if len(rows) < limit:
            rows += self._stretch(tx, state, limit - len(rows), "AND weight > :weight", weight=weight)
        return rows

    def up_to(self, tx: Transaction, state: int, limit: int, last_id: int) -> list[ItemRow]:
        """Up to ``limit`` items of one state, in the order of the queue, that were there when ``last_id`` came."""
        return self._stretch(tx, state, limit, "AND id <= :last", last=last_id)

    def _stretch(self, tx: Transaction, state: int, limit: int, bound: str, **values: int) -> list[ItemRow]:
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM {{item}} {_IN_ORDER[state]} {bound} ORDER BY weight, id LIMIT $limit",
            {"limit": str(int(limit))},
            queue=self._queue,
            **values,
        )
        return [ItemRow(*row) for row in rows]

    def counts(self, tx: Transaction) -> Counts:
        """Counted in one pass over the index; a lease or delay that is over counts as ready."""
        row = tx.row(
            "SELECT "
            f"SUM(CASE WHEN state = {READY} OR release_time <= {{now}} THEN 1 ELSE 0 END), "
            f"SUM(CASE WHEN state = {LEASED} AND release_time > {{now}} THEN 1 ELSE 0 END), "
            f"SUM(CASE WHEN state = {DELAYED} AND release_time > {{now}} THEN 1 ELSE 0 END) "
            "FROM {item} WHERE queue_name = :queue",
            queue=self._queue,
        )
        return Counts(*(int(count or 0) for count in row))

    def leased(self, tx: Transaction, most: int) -> int:
        """How many items are leased at this moment; counted no further than ``most``."""
        rows = tx.rows(
            f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND "
            f"state = {LEASED} AND release_time > {{now}} ORDER BY release_time LIMIT $most",
            {"most": str(int(most))},
            queue=self._queue,
        )
        return len(rows)

    def total(self, tx: Transaction) -> int:
        """How many items stand in the queue."""
        return int(tx.row("SELECT COUNT(*) FROM {item} WHERE queue_name = :queue", queue=self._queue)[0])

    def wait(self, tx: Transaction, state: int) -> int | None:
        """Milliseconds until the first lease (or delay) ends, or None when there is none."""
        row = tx.row(
            f"SELECT release_time - {{now}} FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND "
            f"state = {int(state)} ORDER BY release_time LIMIT 1",
            queue=self._queue,
        )
        return max(int(row[0]), 0) if row else None

    def has_unfinished(self, tx: Transaction, *, head_only: bool) -> bool:
        """Whether anything is leased, may be claimed, or waits for its retry; what a user delayed does not count.

        With ``head_only`` the item that goes first decides, because it blocks all others.
        """
        head = self.first(tx, READY, LEASED, DELAYED) if head_only else None
        return bool(tx.rows(
            f"SELECT 1 FROM {{item}} WHERE queue_name = :queue {'AND id = :head' if head is not None else ''} "
            f"AND (state <> {DELAYED} OR run_count > 0 OR release_time <= {{now}}) LIMIT 1",
            queue=self._queue,
            **({"head": head} if head is not None else {}),
        ))  # fmt: skip

    def until(self, tx: Transaction, moment: int) -> int:
        """Milliseconds from now until ``moment``, by the database's clock."""
        return moment - int(tx.row("SELECT {now}")[0])

    def last_id(self, tx: Transaction) -> int:
        """The highest id that was ever given out (0: none yet)."""
        row = tx.row(self._dialect.last_id)
        return int(row[0] or 0) if row else 0

    def first_ready(self, tx: Transaction) -> tuple[int, int] | None:
        """(weight, id) of the ready item that goes first; a covering read of one index entry."""
        return self._first_in(tx, READY)

    # --- becoming ready ------------------------------------------------------------------------

    def promote(self, tx: Transaction) -> int:
        """Make ready what is due, and count an interruption for each lease that ended by itself."""
        return self._promote(tx, DELAYED, "") + self._promote(tx, LEASED, ", interruptions = interruptions + 1")

    def _promote(self, tx: Transaction, state: int, change: str) -> int:
        due = f"state = {state} AND release_time <= {{now}}"
        promoted = 0
        while True:
            # Read without locks first: right after many leases ended, a locking probe is many times slower.
            rows = tx.rows(
                f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND {due} "
                f"ORDER BY release_time LIMIT {CHUNK}",
                queue=self._queue,
            )
            if not rows:
                return promoted
            promoted += tx.change(
                f"UPDATE {{item}} SET state = {READY}, release_time = 0, holder = ''{change} "
                f"WHERE id IN ($ids) AND {due}",
                listed(row[0] for row in rows),
            )
            if len(rows) < CHUNK:
                return promoted

    # --- claiming ------------------------------------------------------------------------------

    def claim(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow]:
        """Lease up to ``limit`` ready items for ``lease`` ms, past those that others are just claiming.

        On MariaDB/MySQL this needs a transaction, elsewhere it is one statement.
        """
        if isinstance(self._dialect, MySQL):
            return self._claim_in_two_steps(tx, limit, lease, holder)
        values = {"queue": self._queue, "lease": lease, "holder": holder}
        size = {"limit": str(int(limit))}
        ready = f"SELECT id {_READY_IN_ORDER}"
        if isinstance(self._dialect, PostgreSQL):
            # MATERIALIZED fences the planner off, which else may run the LIMIT again and lease too many.
            rows = tx.rows(
                f"WITH ready AS MATERIALIZED ({ready} {{skip_locked}}) UPDATE {{item}} AS item SET {_TAKEN} "
                f"FROM ready WHERE item.id = ready.id RETURNING {_returned('item')}",
                size,
                **values,
            )
        else:
            rows = tx.rows(f"UPDATE {{item}} SET {_TAKEN} WHERE id IN ({ready}) RETURNING {_COLUMNS}", size, **values)
        return in_order(ItemRow(*row) for row in rows)

    def _claim_in_two_steps(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow]:
        """Candidates by a plain covering read, then locked by primary key: a locking scan of the index deadlocks."""
        for pause in (0.001, 0.003, 0.01, None):
            found = tx.rows(f"SELECT id {_READY_IN_ORDER}", {"limit": str(6 * limit + 10)}, queue=self._queue)
            taken = self._lock_and_take(tx, [row[0] for row in found], limit, lease, holder)
            if taken or not found or pause is None:
                return in_order(taken)
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (others are just taking all that we saw)
        return []

    def _lock_and_take(
        self, tx: Transaction, candidates: list[int], limit: int, lease: int, holder: str
    ) -> list[ItemRow]:
        taken: list[ItemRow] = []
        while candidates and len(taken) < limit:
            wanted = limit - len(taken)
            chunk, candidates = candidates[:wanted], candidates[wanted:]
            rows = tx.rows(
                f"SELECT {{now}}, {_COLUMNS} FROM {{item}} WHERE id IN ($ids) AND state = {READY} {{skip_locked}}",
                listed(chunk),
            )
            taken += self._take(tx, rows, lease, holder)
        return taken

    def claim_head(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow]:
        """On a sequential queue, under its lock: lease the head and up to ``limit`` - 1 items right behind it.

        Nothing while anybody holds an item, or when the head waits for its time.
        """
        if tx.row(
            f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {LEASED} "
            "ORDER BY release_time LIMIT 1",  # ordered, because a planner else hopes to meet one early in the table
            queue=self._queue,
        ):
            return []
        rows = tx.rows(f"SELECT {{now}}, {_COLUMNS} {_READY_IN_ORDER}", {"limit": str(int(limit))}, queue=self._queue)
        if not rows:
            return []
        last = ItemRow(*rows[-1][1:])
        blocker = self.first_delayed_before(tx, last.weight, last.id)
        if blocker is not None:
            rows = [row for row in rows if (row[3], row[1]) < blocker]
        return self._take(tx, rows, lease, holder)

    def first_delayed_before(self, tx: Transaction, weight: int, item_id: int) -> tuple[int, int] | None:
        """(weight, id) of the first delayed item that goes before the given place."""
        found = tx.row(
            f"SELECT weight, id FROM {{item}} {_IN_ORDER[DELAYED]} AND {{before}} ORDER BY weight, id LIMIT 1",
            queue=self._queue,
            weight=weight,
            id=item_id,
        )
        return (found[0], found[1]) if found else None

    def first(self, tx: Transaction, *states: int) -> int | None:
        """The id of the item that goes first by (weight, id) among those in the given states."""
        ready = self._first_in(tx, READY) if READY in states else None
        heads = [ready, self._first_in(tx, LEASED) if LEASED in states else None]
        if DELAYED in states and ready is not None:
            # Without the bound a database that lacks partial indexes would read all that is ready to find none delayed.
            heads.append(self.first_delayed_before(tx, *ready))
        elif DELAYED in states:
            heads.append(self._first_in(tx, DELAYED))
        return min((head for head in heads if head is not None), default=(0, None))[1]

    def _first_in(self, tx: Transaction, state: int) -> tuple[int, int] | None:
        row = tx.row(
            f"SELECT weight, id FROM {{item}} {_IN_ORDER[state]} ORDER BY weight, id LIMIT 1", queue=self._queue
        )
        return (row[0], row[1]) if row else None

    def steal(self, tx: Transaction, item_id: int, lease: int, holder: str) -> ItemRow | None:
        """Lease one item although somebody may hold it; whoever did is fenced off."""
        rows = tx.rows(
            f"SELECT {{now}}, {_COLUMNS} FROM {{item}} WHERE id = :id AND queue_name = :queue {{for_update}}",
            id=item_id,
            queue=self._queue,
        )
        return next(iter(self._take(tx, rows, lease, holder)), None)

    def free_others(self, tx: Transaction, item_id: int) -> None:
        """Take all leases but one away: on a sequential queue there is one holder."""
        tx.change(
            f"UPDATE {{item}} SET state = {READY}, release_time = 0, holder = '', fence = fence + 1 "
            f"WHERE queue_name = :queue AND state = {LEASED} AND id <> :id",
            queue=self._queue,
            id=item_id,
        )

    def _take(self, tx: Transaction, rows: Sequence[Any], lease: int, holder: str) -> list[ItemRow]:
        """Lease rows as they were read, each with the database's time before it; those that moved on are left out."""
        if not rows:
            return []
        until = int(rows[0][0]) + lease
        found = [ItemRow(*row[1:]) for row in rows]
        guard, lists, values = _guard([(row.id, row.fence) for row in found])
        taken = tx.change(
            f"UPDATE {{item}} SET state = {LEASED}, release_time = :until, {_CLAIMED} WHERE {guard}",
            lists,
            until=until,
            holder=holder,
            **values,
        )
        if taken < len(found):  # not all of them were locked, and somebody has removed one meanwhile
            mine = {row.id for row in self.held_by(tx, holder)}
            found = [row for row in found if row.id in mine]
        return [row._replace(release_time=until, run_count=row.run_count + 1, fence=row.fence + 1) for row in found]

    def held_by(self, tx: Transaction, holder: str) -> list[ItemRow]:
        """What a claim has leased whose answer was lost."""
        return in_order(
            ItemRow(*row)
            for row in tx.rows(
                f"SELECT {_COLUMNS} FROM {{item}} WHERE queue_name = :queue AND state = {LEASED} AND holder = :holder",
                queue=self._queue,
                holder=holder,
            )
        )

    # --- holding and settling ------------------------------------------------------------------
    # By id and fence alone: with the name of the queue beside a list of ids, planners leave the primary key.

    def renew(self, tx: Transaction, held: Sequence[Held], lease: int) -> int:
        """Prolong leases that are still valid, by (id, fence); return how many were."""
        guard, lists, values = _guard(held)
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
        guard, lists, values = _guard(held)
        statement = f"SELECT id, is_cancelled, batch_id FROM {{item}} WHERE {guard}{also} {{for_update}}"
        return {row[0]: Standing(bool(row[1]), row[2]) for row in tx.rows(statement, lists, **values)}

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

    def delete(self, tx: Transaction, held: Sequence[Held]) -> int:
        """Delete by (id, fence); return how many were still there under that fence."""
        guard, lists, values = _guard(held)
        return tx.change(f"DELETE FROM {{item}} WHERE {guard}", lists, **values)

    def put_back(self, tx: Transaction, held: Sequence[Held], *, delay: int, changes: str = "", **more: Any) -> int:
        """Let go of leases by (id, fence), hidden for ``delay`` ms; ``changes`` are further assignments.

        What was cancelled must not come back, and is left as it is.
        """
        guard, lists, values = _guard(held)
        if delay > 0:
            place = f"state = {DELAYED}, release_time = {{now}} + :delay"
            values["delay"] = delay
        else:
            place = f"state = {READY}, release_time = 0"
        return tx.change(
            f"UPDATE {{item}} SET {place}, holder = '', fence = fence + 1{changes} WHERE {guard} AND is_cancelled = 0",
            lists,
            **values,
            **more,
        )

    def bury(self, tx: Transaction, held: Sequence[Held], error: str, traceback: str | None = None) -> None:
        """Copy items to the dead letters, with the failure that killed them counted."""
        guard, lists, values = _guard(held)
        tx.change(
            "INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, run_count, fence, failures, dedup_key, "
            "data, error, dead_time, traceback) SELECT id, queue_name, uid, weight, submit_time, run_count, fence, "
            f"failures + 1, dedup_key, data, :error, {{now}}, :traceback FROM {{item}} WHERE {guard}",
            lists,
            error=error,
            traceback=traceback,
            **values,
        )

    def record(
        self, tx: Transaction, held: Sequence[Held], outcome: str, error: str | None, traceback: str | None = None
    ) -> None:
        """Write down that items ended (or an attempt did) otherwise than ok."""
        guard, lists, values = _guard(held)
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


Held = tuple[int, int]
#: Outcomes that leave the item in the queue.
_STAYING = ("abort", "retry")
_CLAIMED = (
    "holder = :holder, run_count = run_count + 1, fence = fence + 1, "
    "dedup_key = CASE WHEN until_start = 1 THEN NULL ELSE dedup_key END"
)
_TAKEN = f"state = {LEASED}, release_time = {{now}} + :lease, {_CLAIMED}"
#: For each state the index and the condition by which its items come in the order of the queue. Only what is leased
#: has to be sorted.
_IN_ORDER = {
    READY: f"{{claim_index}} WHERE queue_name = :queue AND state = {READY} AND release_time = 0",
    LEASED: f"{{claim_index}} WHERE queue_name = :queue AND state = {LEASED}",
    DELAYED: f"{{order_index}} WHERE queue_name = :queue AND {IS_DELAYED}",
}
_READY_IN_ORDER = f"FROM {{item}} {_IN_ORDER[READY]} ORDER BY weight, id LIMIT $limit"


def in_order(rows: Iterable[ItemRow]) -> list[ItemRow]:
    """Rows in the order of the queue; what RETURNING gives has none."""
    return sorted(rows, key=lambda row: (row.weight, row.id))


def _returned(alias: str) -> str:
    return ", ".join(f"{alias}.{column.strip()}" for column in _COLUMNS.split(","))


def listed(ids: Iterable[int]) -> dict[str, str]:
    """Ids as text of an IN list, ascending, so that all writers lock rows in the same order."""
    return {"ids": ", ".join(str(int(item_id)) for item_id in sorted(ids)) or "NULL"}


def _guard(held: Sequence[Held]) -> tuple[str, dict[str, str] | None, dict[str, Any]]:
    """The condition on id and fence, of one item or of many with a fence for each, with its lists and values."""
    if len(held) == 1:
        return "id = :id AND fence = :fence", None, {"id": held[0][0], "fence": held[0][1]}
    lists = listed(item_id for item_id, _fence in held)
    lists["fences"] = " ".join(f"WHEN {int(item_id)} THEN {int(fence)}" for item_id, fence in sorted(held))
    return "id IN ($ids) AND fence = CASE id $fences END", lists, {}
