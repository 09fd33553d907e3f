"""The statements on tasks that come again and again."""

from __future__ import annotations

from typing import Any, NamedTuple

from .transaction import Transaction


class PeriodicRow(NamedTuple):
    """A schedule as stored; times in milliseconds since 1970, ``last_time`` 0 before the first."""

    name: str
    queue_name: str
    #: As :class:`~taskqueue.rhythm.Rhythm` writes it.
    cron: str
    timezone: str
    uid: str
    data: str
    weight: int
    is_paused: int
    next_time: int
    last_time: int
    #: Its item is put on the queue only when the one before has ended.
    is_single: int


_SELECT = f"SELECT {', '.join(PeriodicRow._fields)} FROM {{periodic}}"


def now(tx: Transaction) -> int:
    """The database's clock."""
    return int(tx.row("SELECT {now}")[0])


def find(tx: Transaction, name: str) -> PeriodicRow | None:
    """The schedule of that name, or None."""
    row = tx.row(f"{_SELECT} WHERE name = :name", name=name)
    return PeriodicRow(*row) if row else None


def hold(tx: Transaction, name: str) -> PeriodicRow | None:
    """The schedule of that name as it is now, which nobody changes before the end of the transaction."""
    row = tx.row(f"{_SELECT} WHERE name = :name {{for_update}}", name=name)
    return PeriodicRow(*row) if row else None


def every(tx: Transaction) -> list[PeriodicRow]:
    """All schedules, by name."""
    return [PeriodicRow(*row) for row in tx.rows(f"{_SELECT} ORDER BY name")]


def put(tx: Transaction, **values: Any) -> None:
    """Store a schedule, or change the one of that name; its next time stays unless its rhythm changes."""
    if not (_change(tx, values) or _add(tx, values)):
        _change(tx, values)  # another process has just added it


def _change(tx: Transaction, values: dict[str, Any]) -> int:
    # The time comes first: MySQL lets an assignment see those before it.
    return tx.change(
        "UPDATE {periodic} SET "
        "next_time = CASE WHEN cron = :cron AND timezone = :timezone THEN next_time ELSE :next_time END, "
        "cron = :cron, timezone = :timezone, queue_name = :queue_name, uid = :uid, data = :data, weight = :weight "
        "WHERE name = :name",
        **values,
    )


def _add(tx: Transaction, values: dict[str, Any]) -> int:
    return tx.change(
        "{insert} {periodic} (name, queue_name, cron, timezone, uid, data, weight, next_time, create_time) VALUES "
        "(:name, :queue_name, :cron, :timezone, :uid, :data, :weight, :next_time, {now}) {on_duplicate}",
        **values,
    )


def add_single(tx: Transaction, **values: Any) -> bool:
    """Store a schedule of one item at a time; False when there is one of that name."""
    return tx.change(
        "{insert} {periodic} (name, queue_name, cron, timezone, uid, data, weight, is_single, next_time, create_time) "
        "VALUES (:name, :queue_name, :cron, :timezone, :uid, :data, :weight, 1, :next_time, {now}) {on_duplicate}",
        **values,
    ) > 0  # fmt: skip


def change_single(tx: Transaction, **values: Any) -> None:
    """Change one that is held."""
    tx.change(
        "UPDATE {periodic} SET cron = :cron, timezone = :timezone, queue_name = :queue_name, uid = :uid, "
        "data = :data, weight = :weight, next_time = :next_time, last_time = :last_time WHERE name = :name",
        **values,
    )


def remove(tx: Transaction, name: str) -> bool:
    """Whether there was a schedule to remove."""
    return tx.change("DELETE FROM {periodic} WHERE name = :name", name=name) > 0


def pause(tx: Transaction, name: str) -> None:
    """Let it come no more."""
    tx.change("UPDATE {periodic} SET is_paused = 1 WHERE name = :name", name=name)


def resume(tx: Transaction, name: str, next_time: int) -> None:
    """Let a paused one come again, from ``next_time`` on."""
    tx.change(
        "UPDATE {periodic} SET is_paused = 0, next_time = :next_time WHERE name = :name AND is_paused = 1",
        name=name,
        next_time=next_time,
    )


def wait(tx: Transaction, after: int = 0) -> int | None:
    """Milliseconds until the first schedule later than ``after`` is due; None when there is none."""
    row = tx.row(
        "SELECT MIN(next_time) - {now} FROM {periodic} WHERE is_paused = 0 AND next_time > :after", after=after
    )
    return max(int(row[0]), 0) if row[0] is not None else None


def due(tx: Transaction) -> list[PeriodicRow]:
    """What is due, the longest waiting first."""
    rows = tx.rows(f"{_SELECT} WHERE is_paused = 0 AND next_time <= {{now}} ORDER BY next_time, name")
    return [PeriodicRow(*row) for row in rows]


def move_on(tx: Transaction, seen: PeriodicRow, next_time: int) -> bool:
    """Let it be due at ``next_time``; False when it is no more as it was seen: somebody else was quicker."""
    return tx.change(
        "UPDATE {periodic} SET next_time = :next_time "
        "WHERE name = :name AND next_time = :seen AND uid = :uid AND is_paused = 0",
        name=seen.name,
        next_time=next_time,
        seen=seen.next_time,
        uid=seen.uid,
    ) > 0  # fmt: skip


def come_no_more(tx: Transaction, seen: PeriodicRow) -> bool:
    """Remove what has come for the last time; False like :func:`move_on`."""
    return tx.change(
        "DELETE FROM {periodic} WHERE name = :name AND next_time = :seen AND uid = :uid AND is_paused = 0",
        name=seen.name,
        seen=seen.next_time,
        uid=seen.uid,
    ) > 0  # fmt: skip


def count_from_end(tx: Transaction, seen: PeriodicRow, next_time: int) -> None:
    """A run has ended: let the next one be due at ``next_time``, unless it has got another rhythm meanwhile."""
    tx.change(
        "UPDATE {periodic} SET next_time = :next_time "
        "WHERE name = :name AND cron = :cron AND timezone = :timezone AND last_time > 0",
        name=seen.name,
        next_time=next_time,
        cron=seen.cron,
        timezone=seen.timezone,
    )


def enqueued(tx: Transaction, name: str) -> None:
    """Its task was put on the queue."""
    tx.change("UPDATE {periodic} SET last_time = {now} WHERE name = :name", name=name)
