"""The statements that look at items, and change nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .dialects import Dialect
from .rows import COLUMNS, IN_ORDER, Counts, ItemRow, Place, listed
from .schema import DELAYED, LEASED, READY
from .transaction import Transaction

#: So many weights are looked at one by one, from either end.
WEIGHTS = 20


class Reading:
    """What is asked about the items of one queue."""

    def __init__(self, dialect: Dialect, queue_name: str) -> None:
        self._dialect = dialect
        self._queue = queue_name

    def _one(self, tx: Transaction, template: str, **values: Any) -> ItemRow | None:
        row = tx.row(template.format(columns=COLUMNS), queue=self._queue, **values)
        return ItemRow(*row) if row else None

    def fetch(self, tx: Transaction, ids: Iterable[int]) -> list[ItemRow]:
        """Those of the ids that stand in this queue, in no particular order."""
        statement = f"SELECT queue_name, {COLUMNS} FROM {{item}} WHERE id IN ($ids)"
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
            f"SELECT {COLUMNS} FROM {{item}} {IN_ORDER[state]} {bound} ORDER BY weight, id LIMIT $limit",
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
        overdue = self._overdue(tx, state)
        return max(-overdue, 0) if overdue is not None else None

    def longest_wait(self, tx: Transaction) -> int:
        """Milliseconds for which the item that waits longest has been ready or due, 0 when there is none.

        Of what is ready, since its creation; of what became due and nobody has looked at since, from then on. Two seeks
        for each weight; where there are many weights, for the lightest and the heaviest, whose items are most likely to
        starve.
        """
        lightest = self.weights(tx)
        heaviest = self._weights(tx, "weight < :weight", "weight DESC, id DESC") if len(lightest) == WEIGHTS else []
        heads = (
            tx.row(
                # "=" would make the weight a constant, and let PostgreSQL go through the ids of all queues instead.
                f"SELECT {{now}} - submit_time FROM {{item}} {IN_ORDER[READY]} AND weight >= :weight "
                "AND weight <= :weight ORDER BY weight, id LIMIT 1",
                queue=self._queue,
                weight=weight,
            )
            for weight in {*lightest, *heaviest}
        )
        ready = max((int(head[0]) for head in heads if head), default=0)
        return max(ready, self._overdue(tx, LEASED) or 0, self._overdue(tx, DELAYED) or 0)

    def weights(self, tx: Transaction) -> list[int]:
        """The first weights of what is ready, ascending: ``WEIGHTS`` of them at most."""
        return self._weights(tx, "weight > :weight", "weight, id")

    def _weights(self, tx: Transaction, further: str, order: str) -> list[int]:
        found: list[int] = []
        while len(found) < WEIGHTS:
            row = tx.row(
                f"SELECT weight FROM {{item}} {IN_ORDER[READY]} {f'AND {further}' if found else ''} "
                f"ORDER BY {order} LIMIT 1",
                queue=self._queue,
                **({"weight": found[-1]} if found else {}),
            )
            if row is None:
                break
            found.append(int(row[0]))
        return found

    def _overdue(self, tx: Transaction, state: int) -> int | None:
        """Milliseconds since the first lease (or delay) has ended, less than 0 when it has not; None: there is none."""
        row = tx.row(
            f"SELECT {{now}} - release_time FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND "
            f"state = {int(state)} ORDER BY release_time LIMIT 1",
            queue=self._queue,
        )
        return int(row[0]) if row else None

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

    # --- what goes first ---

    def first_delayed_before(self, tx: Transaction, weight: int, item_id: int) -> tuple[int, int] | None:
        """(weight, id) of the first delayed item that goes before the given place."""
        found = tx.row(
            f"SELECT weight, id FROM {{item}} {IN_ORDER[DELAYED]} AND {{before}} ORDER BY weight, id LIMIT 1",
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
            f"SELECT weight, id FROM {{item}} {IN_ORDER[state]} ORDER BY weight, id LIMIT 1", queue=self._queue
        )
        return (row[0], row[1]) if row else None
