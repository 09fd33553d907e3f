"""The rows of the hot table, and the conditions that all statements on it share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .schema import DELAYED, IS_DELAYED, LEASED, READY

#: How many rows one statement promotes or moves at a time: long enough to be quick, short enough to let others in.
CHUNK = 500
COLUMNS = (
    "id, uid, weight, submit_time, release_time, run_count, fence, failures, interruptions, last_error, data, "
    "is_cancelled, batch_id, order_key"
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
    order_key: str | None = None
    #: What a claim has read of the queue's registration at the same moment (see ``registry.parsed``).
    registered: str | None = None


#: What a claim reads of an item before it leases it: the database's time, the item, and its queue's registration.
SEEN = f"{{now}}, {COLUMNS}, {{registered}}"
#: The same for drivers that read each value in Python: all numbers in one text, and behind them the uid.
PACKED = (
    "CONCAT_WS(' ', {now}, id, weight, submit_time, release_time, run_count, fence, failures, interruptions, "
    "is_cancelled, COALESCE(batch_id, 0), uid), last_error, data, order_key, {registered}"
)
_NUMBERS = 11


def unpacked(row: Sequence[Any]) -> tuple[Any, ...]:
    """A row of ``PACKED`` as one of ``SEEN``."""
    facts, last_error, data, order_key, registered = row
    *numbers, uid = facts.split(" ", _NUMBERS)
    now, item_id, weight, submitted, release, runs, fence, failures, lost, cancelled, batch = map(int, numbers)
    return (
        now, item_id, uid, weight, submitted, release, runs, fence, failures, lost, last_error, data, cancelled,
        batch or None, order_key, registered,
    )  # fmt: skip


class Standing(NamedTuple):
    """What decides, besides its fence, how an item may leave the queue."""

    state: int
    is_cancelled: bool
    batch_id: int | None
    order_key: str | None


class Sent(NamedTuple):
    """An item as its producer knows it."""

    id: int
    uid: str
    submit_time: int


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


Held = tuple[int, int]
#: For each state the index and the condition by which its items come in the order of the queue. Only what is leased
#: has to be sorted.
IN_ORDER = {
    READY: f"{{claim_index}} WHERE queue_name = :queue AND state = {READY} AND release_time = 0",
    LEASED: f"{{claim_index}} WHERE queue_name = :queue AND state = {LEASED}",
    DELAYED: f"{{order_index}} WHERE queue_name = :queue AND {IS_DELAYED}",
}
READY_IN_ORDER = f"FROM {{item}} {IN_ORDER[READY]} ORDER BY weight, id LIMIT $limit"


def in_order(rows: Iterable[ItemRow]) -> list[ItemRow]:
    """Rows in the order of the queue; what RETURNING gives has none."""
    return sorted(rows, key=lambda row: (row.weight, row.id))


def returned(alias: str) -> str:
    return ", ".join(f"{alias}.{column.strip()}" for column in COLUMNS.split(","))


def listed(ids: Iterable[int]) -> dict[str, str]:
    """Ids as text of an IN list, ascending, so that all writers lock rows in the same order."""
    return {"ids": ", ".join(str(int(item_id)) for item_id in sorted(ids)) or "NULL"}


def guarded(held: Sequence[Held]) -> tuple[str, dict[str, str] | None, dict[str, Any]]:
    """The condition on id and fence, of one item or of many with a fence for each, with its lists and values."""
    if len(held) == 1:
        return "id = :id AND fence = :fence", None, {"id": held[0][0], "fence": held[0][1]}
    lists = listed(item_id for item_id, _fence in held)
    if len({fence for _id, fence in held}) == 1:  # mostly; a CASE is gone through for each row
        return "id IN ($ids) AND fence = :fence", lists, {"fence": held[0][1]}
    lists["fences"] = " ".join(f"WHEN {int(item_id)} THEN {int(fence)}" for item_id, fence in sorted(held))
    return "id IN ($ids) AND fence = CASE id $fences END", lists, {}
