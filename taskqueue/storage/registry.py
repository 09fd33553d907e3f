"""The statements on the registrations of queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..errors import DatabaseError, SpecError
from ..spec import QueueSpec, check_options
from .transaction import Transaction


class Registration(NamedTuple):
    """What is stored of a queue."""

    name: str
    type: str
    status: str
    options: dict[str, Any]


_OPTIONS = QueueSpec("", "").options().keys()
_SELECT = "SELECT name, type, status, options FROM {queue}"


def find(tx: Transaction, name: str, *, lock: bool = False) -> Registration | None:
    """The registration of a queue, or None; with ``lock`` nobody else changes it until the end of the transaction."""
    row = tx.row(f"{_SELECT} WHERE name = :name{' {for_update}' if lock else ''}", name=name)
    return _registration(row) if row else None


def parsed(name: str, text: str) -> Registration:
    """What a claim has read of a registration on its way (``{registered}``)."""
    return _registration((name, *text.split(" ", 2)))


def every(tx: Transaction) -> list[Registration]:
    """All registrations, by name."""
    return [_registration(row) for row in tx.rows(f"{_SELECT} ORDER BY name")]


def stored(tx: Transaction) -> list[tuple[str, Callable[[], Registration]]]:
    """The names of all queues, each with what reads its registration, which may be damaged."""
    return [(row[0], partial(_registration, row)) for row in tx.rows(f"{_SELECT} ORDER BY name")]


def add(tx: Transaction, entry: Registration) -> bool:
    """Store a registration unless one of that name exists; whether it was stored."""
    return (
        tx.change(
            "{insert} {queue} (name, type, status, options, create_time) "
            "VALUES (:name, :type, :status, :options, {now}) {on_duplicate}",
            **_values(entry),
        )
        > 0
    )


def replace(tx: Transaction, entry: Registration) -> bool:
    """Overwrite a registration; whether there was one."""
    statement = "UPDATE {queue} SET type = :type, status = :status, options = :options WHERE name = :name"
    return tx.change(statement, **_values(entry)) > 0


def set_options(tx: Transaction, name: str, options: dict[str, Any]) -> None:
    """Overwrite the options alone."""
    tx.change("UPDATE {queue} SET options = :options WHERE name = :name", name=name, options=json.dumps(options))


def set_status(tx: Transaction, name: str, status: str) -> bool:
    """Whether the status really changed."""
    statement = "UPDATE {queue} SET status = :status WHERE name = :name AND status <> :status"
    return tx.change(statement, name=name, status=status) > 0


def begin(tx: Transaction, name: str) -> None:
    """Something was claimed: the queue may complete from now on."""
    tx.change("UPDATE {queue} SET is_begun = 1 WHERE name = :name AND is_begun = 0", name=name)


def complete(tx: Transaction, name: str) -> bool:
    """Set the status to completed if something was claimed and nothing is left; whether it was set."""
    return tx.change(
        "UPDATE {queue} SET status = 'completed', is_begun = 0 WHERE name = :name AND status = 'active' "
        "AND is_begun = 1 AND NOT EXISTS (SELECT 1 FROM {item} WHERE queue_name = :name)",
        name=name,
    ) > 0  # fmt: skip


def forget_begin(tx: Transaction, name: str) -> None:
    """The queue was emptied by hand, which completes nothing."""
    tx.change("UPDATE {queue} SET is_begun = 0 WHERE name = :name AND is_begun = 1", name=name)


def remove(tx: Transaction, name: str) -> bool:
    """Whether there was a registration to remove."""
    tx.change("DELETE FROM {lock} WHERE queue_name = :name", name=name)
    return tx.change("DELETE FROM {queue} WHERE name = :name", name=name) > 0


def lock(tx: Transaction, name: str) -> None:
    """Wait until no other transaction claims from this sequential queue, and keep others waiting.

    SQLite needs no row for that: its write transactions take turns anyway. On a cluster, whose nodes see only their own
    locks, the row is changed: of two transactions that do so on different nodes one fails at its commit and is run
    again.
    """
    if tx.dialect.is_cluster:
        tx.change(
            "INSERT INTO {lock} (queue_name, turn) VALUES (:name, 1) ON DUPLICATE KEY UPDATE turn = turn + 1", name=name
        )
        return
    found = tx.row("SELECT queue_name FROM {lock} WHERE queue_name = :name {for_update}", name=name)
    if not found:
        tx.change("{insert} {lock} (queue_name) VALUES (:name) {on_duplicate}", name=name)
        tx.row("SELECT queue_name FROM {lock} WHERE queue_name = :name {for_update}", name=name)


def _values(entry: Registration) -> dict[str, Any]:
    return {**entry._asdict(), "options": json.dumps(entry.options)}


def _registration(row: Any) -> Registration:
    try:
        stored = json.loads(row[3])
        known = {key: value for key, value in stored.items() if key in _OPTIONS}  # a newer release may have more
        return Registration(row[0], row[1], row[2], {**known, **check_options(known)})
    except (ValueError, AttributeError, SpecError, RecursionError) as error:
        raise DatabaseError(
            f"the registration of queue {row[0]!r} is damaged ({error}): create the queue anew with reset=True"
        ) from error
