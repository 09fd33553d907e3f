"""The statements that count what is on record of the failures in a queue."""

from __future__ import annotations

from typing import NamedTuple

from .transaction import Transaction

#: Failed for good and not put back since: who revives a dead letter writes that down, who puts a deleted item back
#: takes the uid from its ending. (The ending of a dead letter that was thrown away has none either.)
_FAILED = (
    "(one.outcome = 'delete' AND one.uid IS NOT NULL OR one.outcome = 'dead' AND NOT EXISTS ("
    "SELECT 1 FROM {ending} AS later WHERE later.queue_name = one.queue_name AND later.item_id = one.item_id "
    "AND later.id > one.id AND later.outcome = 'revived'))"
)
_SKIPPED = "one.outcome IN ('skipped', 'cancelled')"
_SINCE = "one.queue_name = :queue AND one.end_time >= :since"


class Tally(NamedTuple):
    """How many items have left a queue otherwise than ok."""

    failed: int
    skipped: int


class Failure(NamedTuple):
    """An item that failed for good. ``data`` is None when nobody has it any more."""

    id: int
    item_id: int
    error: str | None
    end_time: int
    uid: str | None
    data: str | None


def tally(tx: Transaction, queue_name: str, since: int) -> Tally:
    """What has left the queue since a moment (ms since 1970)."""
    row = tx.row(
        f"SELECT COALESCE(SUM(CASE WHEN {_SKIPPED} THEN 0 ELSE 1 END), 0), "
        f"COALESCE(SUM(CASE WHEN {_SKIPPED} THEN 1 ELSE 0 END), 0) "
        f"FROM {{ending}} AS one WHERE {_SINCE} AND ({_SKIPPED} OR {_FAILED})",
        queue=queue_name,
        since=since,
    )
    return Tally(int(row[0]), int(row[1]))


def failures(tx: Transaction, queue_name: str, since: int, limit: int) -> list[Failure]:
    """The first ``limit`` items that have failed for good since a moment (ms since 1970)."""
    rows = tx.rows(
        "SELECT one.id, one.item_id, one.error, one.end_time, COALESCE(one.uid, letter.uid), "
        "COALESCE(one.data, letter.data) FROM {ending} AS one LEFT JOIN {dead} AS letter ON letter.id = one.item_id "
        f"AND letter.queue_name = one.queue_name WHERE {_SINCE} AND {_FAILED} "
        "ORDER BY one.end_time LIMIT $limit",
        {"limit": str(int(limit))},
        queue=queue_name,
        since=since,
    )
    return [Failure(*row) for row in rows]
