"""The statements on the messages of channels, which stand as items in queues of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .items import Items
from .rows import COLUMNS, IN_ORDER, Held, ItemRow, listed
from .schema import DELAYED, READY
from .transaction import Transaction

#: What is ready of one producer (the order key) in the order of the queue, by one seek as well.
_OF_PRODUCER = (
    f"{{turn_index}} WHERE queue_name = :queue AND order_key = :producer AND state = {READY} AND release_time = 0"
)
#: What the data of messages that expire contains.
LASTING = '"lasts":'
Place = tuple[int, int]


class Messages(Items):
    """The statements on the messages of one consumer of a channel."""

    def ready(
        self, tx: Transaction, limit: int, after: Place | None = None, producer: str | None = None
    ) -> tuple[int, list[ItemRow]]:
        """The database's time (0 when nothing is found), and up to ``limit`` ready messages after a (weight, id)."""
        source = IN_ORDER[READY] if producer is None else _OF_PRODUCER
        return self._stretch_of(tx, source, limit, after, **({} if producer is None else {"producer": producer}))

    def lasting(self, tx: Transaction, state: int, limit: int, after: Place | None = None) -> tuple[int, list[ItemRow]]:
        """The same of those in one state that expire at some time."""
        return self._stretch_of(tx, f"{IN_ORDER[state]} AND data LIKE :lasting", limit, after, lasting=f"%{LASTING}%")

    def _stretch_of(
        self, tx: Transaction, source: str, limit: int, after: Place | None, **values: Any
    ) -> tuple[int, list[ItemRow]]:
        bounds: list[tuple[str, dict[str, int]]] = [("", {})]
        if after is not None:  # see Reading.page
            bounds = [("AND weight = :weight AND id > :id", {"weight": after[0], "id": after[1]}),
                      ("AND weight > :weight", {"weight": after[0]})]  # fmt: skip
        rows: list[Any] = []
        for bound, place in bounds:
            if len(rows) < limit:
                rows += tx.rows(
                    f"SELECT {{now}}, {COLUMNS} FROM {{item}} {source} {bound} ORDER BY weight, id LIMIT $limit",
                    {"limit": str(limit - len(rows))},
                    queue=self._queue,
                    **values,
                    **place,
                )
        return int(rows[0][0]) if rows else 0, [ItemRow(*row[1:]) for row in rows]

    def lock_free(self, tx: Transaction, held: Sequence[Held]) -> list[Held]:
        """Those of (id, fence) that nobody has taken since they were seen, or is just taking; locked from now on."""
        if not held:
            return []
        seen = set(held)
        rows = tx.rows(
            "SELECT id, fence FROM {item} WHERE id IN ($ids) {skip_locked}",
            listed(item_id for item_id, _fence in held),
        )
        return [pair for row in rows if (pair := (row[0], row[1])) in seen]


#: The states in which a message waits, held by nobody.
WAITING = (READY, DELAYED)
