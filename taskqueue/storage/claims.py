"""The statements that claim items: they touch only rows that are ready, found by one seek in one index."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import claimed
from .dialects import MySQL, PostgreSQL
from .reading import Reading
from .rows import CHUNK, COLUMNS, PACKED, READY_IN_ORDER, SEEN, ItemRow, guarded, in_order, listed, returned, unpacked
from .schema import DELAYED, LEASED, READY
from .transaction import Transaction

_CLAIMED = (
    "holder = :holder, run_count = run_count + 1, fence = fence + 1, "
    "dedup_key = CASE WHEN until_start = 1 THEN NULL ELSE dedup_key END"
)
#: The states in which an item waits for a moment, and what becomes of it besides when that has come.
_PROMOTED = {DELAYED: "", LEASED: ", interruptions = interruptions + 1"}
_IS_DUE = "state = {state} AND release_time <= {{now}}"
_TAKEN = f"state = {LEASED}, release_time = {{now}} + :lease, {_CLAIMED}"
#: So many times as many candidates as are wanted are looked at, and so many seconds later again if others were just
#: taking all of them.
_LOOKS = ((2, 0.0), (6, 0.001), (6, 0.003), (6, 0.01), (6, None))


def _due(state: int) -> str:
    return f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND {_IS_DUE.format(state=state)}"


class Claims(Reading):
    """How items of one queue become ready, and are leased."""

    @property
    def claims_in_one_statement(self) -> bool:
        """Else a claim needs a transaction."""
        return not isinstance(self._dialect, MySQL)

    # --- becoming ready ------------------------------------------------------------------------

    def promote(self, tx: Transaction) -> int:
        """Make ready what is due, and count an interruption for each lease that ended by itself."""
        # Nearly always there is nothing: asked for all states at once, by one seek for each. The first one instead of
        # EXISTS, because where many wait for later a planner hopes to meet one that is due early in the table.
        first = "SELECT {state} WHERE ({due} ORDER BY release_time LIMIT 1) IS NOT NULL"
        found = tx.rows(" UNION ALL ".join(first.format(state=state, due=_due(state)) for state in _PROMOTED),
                        queue=self._queue)  # fmt: skip
        return sum(self._promote(tx, row[0]) for row in found)

    def _promote(self, tx: Transaction, state: int) -> int:
        promoted = 0
        while True:
            # Read without locks first: right after many leases ended, a locking probe is many times slower.
            rows = tx.rows(f"{_due(state)} ORDER BY release_time LIMIT {CHUNK}", queue=self._queue)
            if not rows:
                return promoted
            promoted += tx.change(
                f"UPDATE {{item}} SET state = {READY}, release_time = 0, holder = ''{_PROMOTED[state]} "
                f"WHERE id IN ($ids) AND {_IS_DUE.format(state=state)}",
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
        ready = f"SELECT id {READY_IN_ORDER}"
        if isinstance(self._dialect, PostgreSQL):
            # MATERIALIZED fences the planner off, which else may run the LIMIT again and lease too many.
            rows = tx.rows(
                f"WITH ready AS MATERIALIZED ({ready} {{skip_locked}}), taken AS (UPDATE {{item}} AS item SET {_TAKEN} "
                f"FROM ready WHERE item.id = ready.id RETURNING {returned('item')}), "
                f"noted AS ({claimed.NOTED_OF_TAKEN}) SELECT {COLUMNS}, {{registered}} FROM taken",
                size,
                **values,
            )
        else:
            rows = tx.rows(
                f"UPDATE {{item}} SET {_TAKEN} WHERE id IN ({ready}) RETURNING {COLUMNS}, {{registered}}",
                size,
                **values,
            )
        return in_order(ItemRow(*row) for row in rows)

    def _claim_in_two_steps(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow]:
        """Candidates by a plain covering read, then locked by primary key: a locking scan of the index deadlocks."""
        for width, pause in _LOOKS:
            found = tx.rows(f"SELECT id {READY_IN_ORDER}", {"limit": str(width * limit + 10)}, queue=self._queue)
            taken = self._lock_and_take(tx, [row[0] for row in found], limit, lease, holder)
            if taken or not found or pause is None:
                return in_order(taken)
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter, not a secret)
        return []

    def _lock_and_take(
        self, tx: Transaction, candidates: list[int], limit: int, lease: int, holder: str
    ) -> list[ItemRow]:
        taken: list[ItemRow] = []
        while candidates and len(taken) < limit:
            wanted = limit - len(taken)
            chunk, candidates = candidates[:wanted], candidates[wanted:]
            rows = self._seen(
                tx, f"FROM {{item}} WHERE id IN ($ids) AND state = {READY} {{skip_locked}}", listed(chunk)
            )
            taken += self._take(tx, rows, lease, holder)
        return taken

    def claim_single(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow] | None:
        """Outside a transaction, in two round trips: lease the one item that is ready or wanted, if nobody else does.

        None when :meth:`claim` has to be asked, because there are more, or others are at it.
        """
        rows = self._ready(tx, min(limit, 2))
        if len(rows) > 1:
            return None
        return self._take(tx, rows, lease, holder) or (None if rows else [])

    def _ready(self, tx: Transaction, limit: int) -> Sequence[Any]:
        return self._seen(tx, READY_IN_ORDER, {"limit": str(int(limit))})

    def _seen(
        self, tx: Transaction, source: str, lists: Mapping[str, str] | None = None, **values: Any
    ) -> Sequence[Any]:
        """Items as they stand there, in rows of ``SEEN``."""
        if self._dialect.reads_slowly:
            return [unpacked(row) for row in tx.rows(f"SELECT {PACKED} {source}", lists, queue=self._queue, **values)]
        return tx.rows(f"SELECT {SEEN} {source}", lists, queue=self._queue, **values)

    def claim_head(self, tx: Transaction, limit: int, lease: int, holder: str) -> list[ItemRow]:
        """On a sequential queue, under its lock: lease the head and up to ``limit`` - 1 items right behind it.

        Nothing while anybody holds an item, or when the head waits for its time.
        """
        rows = self._ready(tx, limit) if not self._has(tx, LEASED) else []
        if rows and self._has(tx, DELAYED):  # nearly never, and then it takes long on MariaDB to find the first one
            last = ItemRow(*rows[-1][1:])
            blocker = self.first_delayed_before(tx, last.weight, last.id)
            if blocker is not None:
                rows = [row for row in rows if (row[3], row[1]) < blocker]
        return self._take(tx, rows, lease, holder)

    def _has(self, tx: Transaction, state: int) -> bool:
        """Whether there is an item in that state."""
        return bool(tx.rows(
            f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {int(state)} "
            "ORDER BY release_time LIMIT 1",  # ordered, because a planner else hopes to meet one early in the table
            queue=self._queue,
        ))  # fmt: skip

    def claim_seen(self, tx: Transaction, item_id: int, fence: int, lease: int, holder: str) -> ItemRow | None:
        """Inside a transaction: lease an item that was seen ready under that fence, if nobody else is at it."""
        rows = self._seen(
            tx,
            f"FROM {{item}} WHERE id = :id AND fence = :fence AND state = {READY} {{skip_locked}}",
            id=item_id,
            fence=fence,
        )
        return next(iter(self._take(tx, rows, lease, holder)), None)

    # --- stealing ------------------------------------------------------------------------------

    def steal(self, tx: Transaction, item_id: int, lease: int, holder: str) -> ItemRow | None:
        """Lease one item although somebody may hold it; whoever did is fenced off."""
        rows = self._seen(tx, "FROM {item} WHERE id = :id AND queue_name = :queue {for_update}", id=item_id)
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
        # As they will be.
        found = [ItemRow._make((*row[1:5], until, row[6] + 1, row[7] + 1, *row[8:])) for row in rows]
        claimed.note(tx, found, int(rows[0][0]))
        guard, lists, values = guarded([(row.id, row.fence - 1) for row in found])
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
        return found

    def held_by(self, tx: Transaction, holder: str) -> list[ItemRow]:
        """What a claim has leased whose answer was lost."""
        return in_order(
            ItemRow(*row)
            for row in tx.rows(
                f"SELECT {COLUMNS} FROM {{item}} WHERE queue_name = :queue AND state = {LEASED} AND holder = :holder",
                queue=self._queue,
                holder=holder,
            )
        )
