"""Calls at which nobody looks any more: those whose time is over, and those whose items were taken away.

When the time of a result is over, the texts of its call go (:func:`empty`); the row stays for a while, so that who
asks is told that it is over, and is removed in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from . import operations
from .database import Database
from .rows import CHUNK
from .transaction import Transaction
from .wake import letters

#: The time of a result that was read once may be over before that of its client's key.
_KEY_IS_OVER = "(client_key IS NULL OR end_time + lasting < :before)"
_OVER = "is_emptied = 0 AND expire_time > 0 AND expire_time <= {now}"
#: How an item has ended that was given up, as opposed to taken away.
_GIVEN_UP = ("dead", "delete", "abort")


class OpenCall(NamedTuple):
    """A call that has not ended."""

    id: str
    create_time: int
    #: It has neither an item nor a dead letter: somebody has taken its item from the queue.
    is_stray: int


# --- what is over -------------------------------------------------------------------------


def over(tx: Transaction, limit: int = CHUNK) -> list[str]:
    """Some of the calls whose time is over, and that were not emptied yet."""
    rows = tx.rows(
        f"SELECT id FROM {{operation}} WHERE {_OVER} ORDER BY expire_time LIMIT $limit", {"limit": str(int(limit))}
    )
    return [row[0] for row in rows]


def empty(tx: Transaction, call_ids: Iterable[str]) -> int:
    """Take the texts of calls away, of those whose time is over; return of how many. The client's key goes when the
    result was to be kept no longer; not when it was read once, and is gone earlier."""
    # They may have begun anew meanwhile; "+ 0", so that they are found by their ids and by nothing else.
    lists, values = _listed(tx, call_ids)
    return tx.change(
        "UPDATE {operation} SET is_emptied = 1, request = '', error = NULL, result = NULL, "
        "client_key = CASE WHEN end_time + lasting <= {now} THEN NULL ELSE client_key END "
        "WHERE id IN ($ids) AND is_emptied + 0 = 0 AND expire_time + 0 > 0 AND expire_time + 0 <= {now}",
        lists,
        **values,
    )


def empty_some(tx: Transaction, limit: int = CHUNK) -> int:
    """Empty some calls whose time is over; return how many there were."""
    call_ids = over(tx, limit)
    if call_ids:
        empty(tx, call_ids)
    return len(call_ids)


def remove_some(tx: Transaction, before: int, limit: int = CHUNK) -> int:
    """Remove some of the emptied calls whose time, and that of the client's key, was over before a moment; how many."""
    rows = tx.rows(
        "SELECT id FROM {operation} WHERE is_emptied = 1 AND expire_time < :before "
        f"AND {_KEY_IS_OVER} ORDER BY expire_time LIMIT $limit",
        {"limit": str(int(limit))}, before=before,
    )  # fmt: skip
    if not rows:
        return 0
    lists, values = _listed(tx, (row[0] for row in rows))
    return tx.change("DELETE FROM {operation} WHERE id IN ($ids)", lists, **values)


def _listed(tx: Transaction, ids: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """An IN list of parameters, and their values: who can write rows can write anything for an id."""
    values = {f"call_{letters(index)}": call_id for index, call_id in enumerate(sorted(ids))}
    return {"ids": tx.dialect.parameters(", ".join(f":{name}" for name in values))}, values


def prune_calls(
    database: Database, now: int, age: int, *, dry_run: bool, end_strays: Callable[[], object] | None = None
) -> tuple[int, int]:
    """Empty what is over, and remove what has been over for longer than ``age`` ms at the moment ``now``; how many of
    each. Calls whose items were taken away are ended. A ``dry_run`` only counts.

    Arguments:
        end_strays: ends those, and tells whoever wants to know; None: nobody here knows the operations.
    """
    if dry_run:
        return database.statement(partial(_count, before=now - age), write=False)
    if end_strays is None:
        _end_strays(database)
    else:
        end_strays()
    emptied = sum(iter(lambda: database.transaction(empty_some), 0))
    return emptied, sum(iter(lambda: database.transaction(partial(remove_some, before=now - age)), 0))


def _count(tx: Transaction, before: int) -> tuple[int, int]:
    emptied = tx.row(f"SELECT COUNT(*) FROM {{operation}} WHERE {_OVER}")[0]
    removed = sum(
        int(
            tx.row(
                f"SELECT COUNT(*) FROM {{operation}} WHERE {which} AND expire_time < :before AND {_KEY_IS_OVER}",
                before=before,
            )[0]
        )
        for which in (
            "is_emptied = 1 AND expire_time < :before",
            "is_emptied = 0 AND expire_time > 0 AND expire_time < :before",
        )
    )
    return int(emptied), removed


# --- what was taken away -------------------------------------------------------------------------


def open_calls(tx: Transaction, limit: int, after: tuple[int, str]) -> list[OpenCall]:
    """Calls that have not ended, the oldest first, behind the one made at that time with that id."""
    rows = tx.rows(
        "SELECT o.id, o.create_time, CASE WHEN i.id IS NULL AND d.id IS NULL THEN 1 ELSE 0 END "
        "FROM {operation} o {open_index} LEFT JOIN {item} i ON i.id = o.item_id LEFT JOIN {dead} d ON d.id = o.item_id "
        "WHERE o.end_time = 0 AND o.create_time >= :time AND (o.create_time > :time OR o.id > :id) "
        "ORDER BY o.create_time, o.id LIMIT $limit",
        {"limit": str(int(limit))}, time=after[0], id=after[1],
    )  # fmt: skip
    return [OpenCall(*row) for row in rows]


def count_open(tx: Transaction, queue_name: str) -> tuple[int, int]:
    """How many calls of a queue wait or are being executed, and how many are dead letters."""
    row = tx.row(
        "SELECT COUNT(i.id), COUNT(d.id) FROM {operation} o {open_index} LEFT JOIN {item} i ON i.id = o.item_id "
        "LEFT JOIN {dead} d ON d.id = o.item_id WHERE o.end_time = 0 AND o.queue_name = :queue_name",
        queue_name=queue_name,
    )
    return int(row[0]), int(row[1])


def _end_strays(database: Database) -> int:
    """Write down the end of the calls whose items were taken from their queue (reset, skipped, deleted); how many."""
    number, after = 0, (0, "")
    while rows := database.statement(partial(open_calls, limit=CHUNK, after=after), write=False):
        for call in rows:
            if call.is_stray:
                number += database.transaction(partial(_end_stray, call_id=call.id))
        after = rows[-1].create_time, rows[-1].id
    return number


def _end_stray(tx: Transaction, call_id: str) -> bool:
    """Write down the end of one, unless it is none (any more); whether it was written."""
    operations.lock(tx, call_id)
    call = operations.find(tx, call_id)
    if call is None or call.state != operations.GONE:
        return False
    return operations.end(tx, call_id, state_of_stray(tx, call))


def state_of_stray(tx: Transaction, call: operations.OperationRow) -> str:
    """What a call has come to whose item is gone."""
    return "dead" if _ending_of(tx, call.queue_name, call.item_id) in _GIVEN_UP else "cancelled"


def _ending_of(tx: Transaction, queue_name: str, item_id: int) -> Any:
    """How an item ended that is gone, if that is on record."""
    row = tx.row(
        "SELECT outcome FROM {ending} WHERE queue_name = :queue AND item_id = :item ORDER BY id DESC LIMIT 1",
        queue=queue_name, item=item_id,
    )  # fmt: skip
    return row[0] if row else None
