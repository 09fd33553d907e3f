"""The statements on runs, their log, and the requests that changed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .transaction import Transaction
from .wake import letters

#: What a run can still leave; the others are ends.
OPEN = ("ready", "running", "blocked", "finishing")
#: No time is later.
_HIGHEST = 2**63 - 1
#: So many runs of a queue, and lines of each, are looked at for what they say of one of its items.
_LATEST_RUNS, _LATEST_LINES = 5, 2000
_OPEN = ", ".join(f"'{status}'" for status in OPEN)
_COLUMNS = (
    "id, queue_name, owner, definition, status, version, initial, total, done, skipped, failed, pace, problem, driver, "
    "driver_label, driver_until, is_dirty, made_up, end_fence, end_holder, is_ended, emptied_to, create_time, "
    "start_time, end_time"
)


class RunRow(NamedTuple):
    """A run as stored, and the database's time at which it was read."""

    id: str
    queue_name: str
    owner: str
    definition: str
    status: str
    version: int
    initial: int
    total: int
    done: int
    skipped: int
    failed: int
    pace: int
    problem: str | None
    driver: str
    driver_label: str
    driver_until: int
    is_dirty: int
    made_up: int
    end_fence: int
    end_holder: str
    is_ended: int
    emptied_to: int
    create_time: int
    start_time: int
    end_time: int
    now: int


class LogLine(NamedTuple):
    """One line of a run's log; ``time`` in milliseconds since 1970."""

    id: int
    time: int
    level: str
    kind: str
    item_id: int | None
    message: str


def add(tx: Transaction, *, id: str, queue_name: str, owner: str, definition: str, status: str, items: int) -> None:
    """Store a new run of ``items`` items."""
    started = "{now}" if status != "ready" else "0"
    tx.change(
        "INSERT INTO {run} (id, queue_name, owner, definition, status, initial, total, create_time, start_time) "
        f"VALUES (:id, :queue, :owner, :definition, :status, :items, :items, {{now}}, {started})",
        id=id, queue=queue_name, owner=owner, definition=definition, status=status, items=items,
    )  # fmt: skip


def find(tx: Transaction, run_id: str, *, lock: bool = False) -> RunRow | None:
    """The run, or None; with ``lock`` nobody else changes it until the end of the transaction."""
    row = tx.row(f"SELECT {_COLUMNS}, {{now}} FROM {{run}} WHERE id = :id{' {for_update}' if lock else ''}", id=run_id)
    return RunRow(*row) if row else None


def status_of(tx: Transaction, run_id: str) -> str | None:
    """How the run stands; None when there is no such run."""
    row = tx.row("SELECT status FROM {run} WHERE id = :id", id=run_id)
    return str(row[0]) if row else None


def of_queue(tx: Transaction, queue_name: str, *, limit: int = 20) -> list[RunRow]:
    """The latest runs of a queue that are not at their end, newest first."""
    rows = tx.rows(
        f"SELECT {_COLUMNS}, {{now}} FROM {{run}} WHERE queue_name = :queue AND end_time = 0 AND status IN ({_OPEN}) "
        "ORDER BY create_time DESC LIMIT $limit",
        {"limit": str(int(limit))},
        queue=queue_name,
    )
    return [RunRow(*row) for row in rows]


def open_queues(tx: Transaction, limit: int) -> list[str]:
    """The names of the queues of up to ``limit`` runs that are not at their end, one for each."""
    rows = tx.rows(
        f"SELECT queue_name FROM {{run}} WHERE end_time = 0 AND status IN ({_OPEN}) LIMIT $limit",
        {"limit": str(int(limit))},
    )
    return [row[0] for row in rows]


def running(tx: Transaction, queue_names: Sequence[str]) -> list[RunRow]:
    """The runs of some queues that are on their way to their end."""
    values = {f"queue_{letters(index)}": name for index, name in enumerate(queue_names)}
    rows = tx.rows(
        f"SELECT {_COLUMNS}, {{now}} FROM {{run}} WHERE queue_name IN ({', '.join(f':{key}' for key in values)}) "
        "AND end_time = 0 AND status IN ('running', 'finishing')",
        **values,
    ) if values else []  # fmt: skip
    return [RunRow(*row) for row in rows]


def latest(
    tx: Transaction, *, limit: int, queue_name: str | None = None, before: tuple[int, str] | None = None
) -> list[RunRow]:
    """The latest runs of all queues, or of one, newest first; ``before`` the one that began then, with that id."""
    values: dict[str, Any] = {"time": _HIGHEST}
    where, order = "create_time >= 0", ""
    if queue_name is not None:
        where, order = tx.dialect.stretch("create_time", ">= 0", "<= :time"), "queue_name DESC, "
        values["queue"] = queue_name
    if before is not None:
        where += " AND create_time <= :time AND (create_time < :time OR id < :id)"
        values["time"], values["id"] = before
    rows = tx.rows(
        f"SELECT {_COLUMNS}, {{now}} FROM {{run}} WHERE {where} ORDER BY {order}create_time DESC, id DESC LIMIT $limit",
        {"limit": str(int(limit))},
        **values,
    )
    return [RunRow(*row) for row in rows]


def change(tx: Transaction, run_id: str, assignments: str, condition: str = "", /, **values: Any) -> bool:
    """Change a run that is still open; whether it was, and met the condition. The version moves on."""
    also = f" AND {condition}" if condition else ""
    statement = f"UPDATE {{run}} SET version = version + 1, {assignments} WHERE id = :id AND status IN ({_OPEN}){also}"
    return tx.change(statement, id=run_id, **values) > 0


def reopen(tx: Transaction, run_id: str, number: int) -> bool:
    """A completed run goes on with ``number`` of its failed items; whether it was completed."""
    return tx.change(
        "UPDATE {run} SET version = version + 1, status = 'running', end_time = 0, failed = failed - :number "
        "WHERE id = :id AND status = 'completed'",
        id=run_id,
        number=number,
    ) > 0  # fmt: skip


def close_all_of(tx: Transaction, queue_name: str) -> None:
    """Abort the open runs of a queue that is emptied or removed."""
    tx.change(
        f"UPDATE {{run}} SET version = version + 1, status = 'aborted', end_time = {{now}} "
        f"WHERE queue_name = :queue AND end_time = 0 AND status IN ({_OPEN})",
        queue=queue_name,
    )


# --- driving -------------------------------------------------------------------------------------


def take_slot(tx: Transaction, run_id: str, driver: str, label: str, lasting: int, *, by_force: bool) -> bool:
    """Make ``driver`` the one that drives for ``lasting`` ms; whether the slot was free, or its own already."""
    free = "" if by_force else " AND (driver = :driver OR driver_until <= {now})"
    statement = (
        "UPDATE {run} SET driver = :driver, driver_label = :label, driver_until = {now} + :lasting, is_dirty = 1 "
        f"WHERE id = :id AND status IN ({_OPEN}){free}"
    )
    return tx.change(statement, id=run_id, driver=driver, label=label, lasting=lasting) > 0


def leave_slot(tx: Transaction, run_id: str, driver: str, lasting: int) -> None:
    """The driver has stored all that it did; the slot stays its own for ``lasting`` ms more."""
    tx.change(
        "UPDATE {run} SET driver_until = {now} + :lasting, is_dirty = 0 WHERE id = :id AND driver = :driver",
        id=run_id,
        driver=driver,
        lasting=lasting,
    )


def make_up(tx: Transaction, run_id: str, number: int) -> None:
    """So many items are gone, and whoever has done them could not say so."""
    tx.change(
        "UPDATE {run} SET done = done + :number, made_up = made_up + :number WHERE id = :id", id=run_id, number=number
    )


def count(tx: Transaction, run_id: str, driver: str, lasting: int, **more: int) -> None:
    """Add to the counters of a run what was done, and keep the driver's slot.

    Also of an aborted one: what was in hand may have come to its end. A completed one was counted to its last item.

    ``more``: what to add to done, failed and skipped (it may be less than nothing); ``total``
    and ``pace`` are values to store.
    """
    added = [f"{name} = {name} + :{name}" for name in ("done", "failed", "skipped") if name in more]
    stored = [f"{name} = :{name}" for name in ("pace",) if name in more]
    # The total never shrinks by itself: what is missing when a run goes on was done by somebody who could not say so.
    total = ["total = CASE WHEN total < :total THEN :total ELSE total END"] if "total" in more else []
    slot = "driver_until = CASE WHEN driver = :driver THEN {now} + :lasting ELSE driver_until END"
    tx.change(
        f"UPDATE {{run}} SET {', '.join([slot, *added, *stored, *total])} WHERE id = :id AND status <> 'completed'",
        id=run_id,
        driver=driver,
        lasting=lasting,
        **more,
    )


def add_skipped(tx: Transaction, run_id: str, number: int) -> None:
    """So many items of a run were skipped together."""
    tx.change("UPDATE {run} SET skipped = skipped + :number WHERE id = :id", id=run_id, number=number)


# --- the log -------------------------------------------------------------------------------------


def write(tx: Transaction, run_id: str, lines: Sequence[dict[str, Any]]) -> None:
    """Append lines of ``level``, ``kind``, ``item_id`` and ``message`` to the log."""
    moment = tx.row("SELECT {now}")[0]
    tx.many(
        "INSERT INTO {run_log} (run_id, time, level, kind, item_id, message) "
        "VALUES (:run, :time, :level, :kind, :item_id, :message)",
        [{"run": run_id, "time": moment, **line} for line in lines],
    )


def log(tx: Transaction, run_id: str, after: int, limit: int, *, level: str | None = None) -> list[LogLine]:
    """The latest ``limit`` lines with ids above ``after``, oldest first."""
    wanted = " AND level = :level" if level else ""
    rows = tx.rows(
        f"SELECT {', '.join(LogLine._fields)} FROM {{run_log}} WHERE run_id = :run AND id > :after{wanted} "
        "ORDER BY id DESC LIMIT $limit",
        {"limit": str(int(limit))},
        run=run_id,
        after=after,
        **({"level": level} if level else {}),
    )
    return [LogLine(*row) for row in reversed(rows)]


def log_page(tx: Transaction, run_id: str, after: int, limit: int) -> list[LogLine]:
    """Up to ``limit`` lines with ids above ``after``, oldest first: for reading all of it."""
    rows = tx.rows(
        f"SELECT {', '.join(LogLine._fields)} FROM {{run_log}} WHERE run_id = :run AND id > :after "
        "ORDER BY id LIMIT $limit",
        {"limit": str(int(limit))},
        run=run_id,
        after=after,
    )
    return [LogLine(*row) for row in rows]


def lines_of_item(tx: Transaction, queue_name: str, item_id: int) -> list[LogLine]:
    """What the logs of the latest runs of a queue say of one item, oldest first; of each the latest lines are read."""
    columns = ", ".join(LogLine._fields)
    found: list[LogLine] = []
    for (run_id,) in tx.rows(
        f"SELECT id FROM {{run}} WHERE {tx.dialect.stretch('create_time', '>= 0', '<= :time')} "
        f"ORDER BY queue_name DESC, create_time DESC LIMIT {_LATEST_RUNS}",
        queue=queue_name,
        time=_HIGHEST,
    ):
        rows = tx.rows(
            f"SELECT {columns} FROM (SELECT {columns} FROM {{run_log}} WHERE run_id = :run ORDER BY id DESC "
            f"LIMIT {_LATEST_LINES}) AS latest WHERE item_id = :item ORDER BY id",
            run=run_id,
            item=item_id,
        )
        found += [LogLine(*row) for row in rows]
    return sorted(found, key=lambda line: line.id)


def failed(tx: Transaction, run_id: str, limit: int) -> list[LogLine]:
    """The first ``limit`` items that failed for good and were not tried again since."""
    rows = tx.rows(
        f"SELECT {', '.join(LogLine._fields)} FROM {{run_log}} WHERE run_id = :run AND level = 'error' "
        "AND kind = 'failed' ORDER BY id LIMIT $limit",
        {"limit": str(int(limit))},
        run=run_id,
    )
    return [LogLine(*row) for row in rows]


def forget_failure(tx: Transaction, run_id: str, item_id: int) -> None:
    """The failure of this item is being tried again."""
    tx.change(
        "UPDATE {run_log} SET kind = 'retried', level = 'warning' "
        "WHERE run_id = :run AND level = 'error' AND kind = 'failed' AND item_id = :item",
        run=run_id,
        item=item_id,
    )


def forget_failed(tx: Transaction, run_id: str, log_ids: Sequence[int]) -> None:
    """These failures are being tried again."""
    ids = ", ".join(str(int(log_id)) for log_id in log_ids) or "NULL"
    tx.change(
        "UPDATE {run_log} SET kind = 'retried', level = 'warning' WHERE run_id = :run AND id IN ($ids)",
        {"ids": ids},
        run=run_id,
    )


# --- requests ------------------------------------------------------------------------------------


def is_new_request(tx: Transaction, run_id: str, request_id: str) -> bool:
    """Write a request down; False when it was carried out before."""
    return tx.change(
        "{insert} {run_request} (run_id, request_id, time) VALUES (:run, :request, {now}) {on_duplicate}",
        run=run_id,
        request=request_id,
    ) > 0  # fmt: skip


# --- the end -------------------------------------------------------------------------------------


def count_old(tx: Transaction, age: int) -> int:
    """How many runs ended more than ``age`` ms ago."""
    return int(tx.row("SELECT COUNT(*) FROM {run} WHERE end_time > 0 AND end_time < {now} - :age", age=age)[0])


def remove_old(tx: Transaction, age: int, limit: int) -> int:
    """Remove runs that ended more than ``age`` ms ago, at most ``limit``; return how many."""
    rows = tx.rows(
        "SELECT id FROM {run} WHERE end_time > 0 AND end_time < {now} - :age ORDER BY end_time LIMIT $limit",
        {"limit": str(int(limit))},
        age=age,
    )
    for (run_id,) in rows:
        tx.change("DELETE FROM {run_log} WHERE run_id = :id", id=run_id)
        tx.change("DELETE FROM {run_request} WHERE run_id = :id", id=run_id)
        tx.change("DELETE FROM {run} WHERE id = :id", id=run_id)
    return len(rows)
