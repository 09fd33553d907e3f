"""The statements that keep items with the same order key one after the other.

Whoever claims such an item looks afterwards whether it is its turn: of its key nothing may stand before it, and nobody
else may hold anything. (Of two who claim at the same time at most one can find that: each has claimed before it looks.)
What has to wait is hidden, marked by its holder, until whatever goes before it hands on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .dialects import Dialect
from .rows import CHUNK, listed
from .schema import DELAYED, LEASED, READY, WAITS_ITS_TURN
from .transaction import Transaction


def _of_key(key: str, state: int) -> str:
    """What of a key is in one state; in the order of the queue by the index."""
    return (
        f"FROM {{item}} AS other {{turn_index}} WHERE other.queue_name = :queue AND other.order_key = {key} "
        f"AND other.state = {state}"
    )


def _is_met(found: str) -> str:
    """Whether a query finds what makes ``mine`` wait. No EXISTS, of which MariaDB makes a list of all there is."""
    return f"COALESCE(({found} LIMIT 1), 0) = 1"


def _stands_before(state: int) -> str:
    """Whether the first item of that state with the key of ``mine`` stands before it."""
    return _is_met(
        "SELECT CASE WHEN other.weight < mine.weight OR other.weight = mine.weight AND other.id < mine.id "
        f"THEN 1 ELSE 0 END {_of_key('mine.order_key', state)} ORDER BY other.weight, other.id"
    )


def _first(state: int) -> str:
    """The id of the first item of that state."""
    return f"SELECT other.id {_of_key(':key', state)} ORDER BY other.weight, other.id LIMIT 1"


_IS_HELD_BY_OTHERS = _is_met(f"SELECT 1 {_of_key('mine.order_key', LEASED)} AND other.id NOT IN ($ids)")
_IN_TURN = (
    f"SELECT mine.id, mine.fence FROM {{item}} AS mine WHERE mine.id IN ($ids) AND mine.state = {LEASED} "
    f"AND NOT ({_stands_before(READY)} OR {_stands_before(DELAYED)} OR {_IS_HELD_BY_OTHERS})"
)
_RIVAL = "SELECT other.weight, other.id, other.state, other.release_time - {now}, other.holder"
_RIVALS = (
    f"{_RIVAL} {_of_key(':key', LEASED)} UNION ALL {_RIVAL} FROM {{item}} AS other WHERE other.id = ({_first(READY)}) "
    f"UNION ALL {_RIVAL} FROM {{item}} AS other WHERE other.id = ({_first(DELAYED)})"
)
_READY = f"SELECT other.id {_of_key(':key', READY)} ORDER BY other.weight, other.id LIMIT {CHUNK}"


class Rival(NamedTuple):
    """An item that others with its key may have to wait for; ``wait`` is ms until its lease or delay ends."""

    weight: int
    id: int
    state: int
    wait: int
    holder: str

    @property
    def waits_its_turn(self) -> bool:
        """Whether it waits for another one itself."""
        # A MariaDB that is told to (PAD_CHAR_TO_FULL_LENGTH) gives the column with its blanks.
        return self.state == DELAYED and self.holder.rstrip() == WAITS_ITS_TURN


class Turns:
    """Who may go on, among the items of one queue that have an order key."""

    def __init__(self, dialect: Dialect, queue_name: str) -> None:
        self._dialect = dialect
        self._queue = queue_name

    def in_turn(self, tx: Transaction, ids: Iterable[int]) -> dict[int, int]:
        """Those of the ids, claimed together, whose turn it is: the first ones of their keys, with their fences."""
        rows = tx.rows(_IN_TURN, listed(ids), queue=self._queue)
        return {row[0]: row[1] for row in rows}

    def rivals(self, tx: Transaction, order_key: str) -> list[Rival]:
        """What is leased of a key, its first ready and its first delayed item, in the order of the queue."""
        rows = tx.rows(_RIVALS, queue=self._queue, key=order_key)
        return sorted(Rival(*row) for row in rows)

    def locked_rivals(self, tx: Transaction, order_key: str) -> list[Rival]:
        """The same, locked: none of them hands on until the end of the transaction.

        What is leased comes first, as where an item is removed and then its turn is handed on.
        """
        locked: set[int] = set()
        while True:
            rivals = self.rivals(tx, order_key)
            leased = {rival.id for rival in rivals if rival.state == LEASED}
            wanted = leased | {rival.id for rival in rivals[:1]}
            if wanted <= locked:
                return rivals
            for ids in (leased - locked, wanted - leased - locked):
                if ids:
                    tx.rows("SELECT id FROM {item} WHERE id IN ($ids) {for_update}", listed(ids))
            locked |= wanted

    def hide(self, tx: Transaction, order_key: str, delay: int) -> None:
        """Let what is ready of a key behind its first item wait, too, some hundreds of them.

        Else each of thousands would have to be claimed to find that it is not its turn.
        """
        ready = [row[0] for row in tx.rows(_READY, queue=self._queue, key=order_key)]
        first = next(iter(self.rivals(tx, order_key)), None)
        if first is not None and first.id in ready:
            ready.remove(first.id)
        if not ready:
            return
        free = tx.rows(f"SELECT id FROM {{item}} WHERE id IN ($ids) AND state = {READY} {{skip_locked}}", listed(ready))
        if free:
            tx.change(
                f"UPDATE {{item}} SET state = {DELAYED}, release_time = {{now}} + :delay, holder = '{WAITS_ITS_TURN}' "
                f"WHERE id IN ($ids) AND state = {READY}",
                listed(row[0] for row in free),
                delay=delay,
            )

    def hand_on(self, tx: Transaction, order_key: str) -> bool:
        """Make the first item of a key ready if it waits for its turn; whether it did."""
        tried: int | None = None
        while True:
            first = next(iter(self.rivals(tx, order_key)), None)
            # The same one again: it has moved on, and this transaction cannot see how.
            if first is None or not first.waits_its_turn or first.id == tried:
                return False
            if tx.change(
                f"UPDATE {{item}} SET state = {READY}, release_time = 0, holder = '' "
                f"WHERE id = :id AND state = {DELAYED} AND holder = '{WAITS_ITS_TURN}'",
                id=first.id,
            ):
                return True
            tried = first.id
