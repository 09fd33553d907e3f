"""The statements on the record of what administrators did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .transaction import Transaction


class Deed(NamedTuple):
    """What somebody did; ``time`` in ms since 1970."""

    id: int
    time: int
    #: As the pages know people: "user:<id>" or "session:<random>".
    actor: str
    action: str
    #: "" and None where it concerned no queue, or no single item.
    queue_name: str
    item_id: int | None
    #: How many items it concerned; None: not a matter of items.
    number: int | None
    detail: str


_SELECT = f"SELECT {', '.join(Deed._fields)} FROM {{audit}}"


def add(
    tx: Transaction, *, actor: str, action: str, queue_name: str = "", item_ids: Sequence[int] = (),
    number: int | None = None, detail: str = "",
) -> None:  # fmt: skip
    """Write down what is done in the same transaction: a line for each item that is named, else one."""
    moment = tx.row("SELECT {now}")[0]
    common = {"time": moment, "actor": actor, "action": action, "queue": queue_name, "number": number, "detail": detail}
    tx.many(
        "INSERT INTO {audit} (time, actor, action, queue_name, item_id, number, detail) "
        "VALUES (:time, :actor, :action, :queue, :item, :number, :detail)",
        [{**common, "item": item_id} for item_id in item_ids or (None,)],
    )


def page(tx: Transaction, queue_name: str | None, below: int, limit: int) -> list[Deed]:
    """The latest deeds with ids below one, on one queue or (None) on all."""
    if queue_name is None:
        order, within = "id DESC", "id < :below"
    else:
        order, within = "queue_name DESC, id DESC", tx.dialect.stretch("id", ">= 0", "< :below")
    rows = tx.rows(
        f"{_SELECT} WHERE {within} ORDER BY {order} LIMIT $limit",
        {"limit": str(int(limit))},
        below=below,
        **({"queue": queue_name} if queue_name is not None else {}),
    )
    return [Deed(*row) for row in rows]


def of_item(tx: Transaction, queue_name: str, item_id: int, limit: int) -> list[Deed]:
    """The latest deeds on one item."""
    rows = tx.rows(
        f"{_SELECT} WHERE queue_name = :queue AND item_id = :item ORDER BY id DESC LIMIT $limit",
        {"limit": str(int(limit))},
        queue=queue_name,
        item=item_id,
    )
    return [Deed(*row) for row in rows]
