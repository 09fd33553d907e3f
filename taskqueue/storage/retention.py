"""Removing what was kept for long enough, a few hundred rows at a time, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from . import runs, trends
from .database import Database
from .dead import PRUNED, DeadLetters
from .expiry import prune_calls
from .rows import CHUNK, listed
from .transaction import Transaction

#: Runs have lines of a log, which go with them.
_RUNS_AT_ONCE = 20
#: For so long (ms) at least it is remembered what was received: brokers deliver again after hours, or days.
RECEIVED_FOR = 14 * 86_400_000


class Pruned(NamedTuple):
    """How much was (or would be) removed."""

    #: Lines of the history of items.
    endings: int = 0
    dead_letters: int = 0
    #: Results whose time was over, those of operations too.
    results: int = 0
    #: Runs that had ended, with their logs.
    runs: int = 0
    #: Batches all of whose items had ended.
    batches: int = 0
    #: Keys of messages that an inbox has received.
    received: int = 0
    #: Calls of operations, whose results had gone before.
    calls: int = 0
    #: What was noted of what was done by hand.
    audit: int = 0

    def plus(self, other: Pruned) -> Pruned:
        """Both together."""
        return Pruned(*map(sum, zip(self, other, strict=True)))


def prune(
    database: Database, age: int, *, dead: bool, dry_run: bool, end_strays: Callable[[], object] | None = None
) -> Pruned:
    """Remove what is older than ``age`` ms, dead letters only if told; a ``dry_run`` only counts.

    Arguments:
        end_strays: as :func:`prune_calls` takes it.

    The moment from which ages count is taken once: what this very call writes down is younger.
    """
    now = database.statement(lambda tx: int(tx.row("SELECT {now}")[0]), write=False)
    if not dry_run:
        while database.transaction(trends.prune):  # by ages of their own, and only numbers
            pass
    # How an item ended is asked for before it is forgotten.
    letters = _prune(_Letters, database, now - age, dry_run) if dead else 0
    emptied, calls = prune_calls(database, now, age, dry_run=dry_run, end_strays=end_strays)
    return Pruned(
        _prune(_Endings, database, now - age, dry_run),
        letters,
        _prune(_Results, database, now, dry_run) + emptied,
        _prune_runs(database, age, dry_run),
        _prune(_Batches, database, now - age, dry_run),
        _prune(_Received, database, now - max(age, RECEIVED_FOR), dry_run),
        calls,
        _prune_audit(database, now - age, dry_run),
    )


def _prune(kind: type[_Old], database: Database, before: int, dry_run: bool) -> int:
    return sum(kind(database, name, before).prune(dry_run) for name in _queue_names(database, kind.table))


def _queue_names(database: Database, table: str) -> Iterator[str]:
    """The queues with rows in the table, also those that are deleted or were never registered: one seek for each."""
    statement = f"SELECT MIN(queue_name) FROM {{{table}}} WHERE queue_name > :after"
    name = ""
    while name := database.statement(partial(_first, statement, name), write=False):
        yield name


def _first(statement: str, after: str, tx: Transaction) -> str:
    return tx.row(statement, after=after)[0] or ""


class _Old:
    """The rows of one queue in one table whose time was before a moment."""

    table = time = also = ""
    key = "id"

    def __init__(self, database: Database, queue_name: str, before: int) -> None:
        self._database = database
        self._name = queue_name
        self._values = {"queue": queue_name, "before": before}
        self._where = f"FROM {{{self.table}}} WHERE queue_name = :queue AND {self.time} < :before{self.also}"

    def prune(self, dry_run: bool) -> int:
        number = int(self._database.statement(self._count, write=False))
        if dry_run or not number:
            return number
        self._database.transaction(self._prepare)
        return sum(iter(lambda: self._database.transaction(self._remove_some), 0))

    def _count(self, tx: Transaction) -> int:
        return int(tx.row(f"SELECT COUNT(*) {self._where}", **self._values)[0])

    def _remove_some(self, tx: Transaction) -> int:
        rows = tx.rows(
            f"SELECT {self.key} {self._where} ORDER BY {self.time} LIMIT $limit", {"limit": str(CHUNK)}, **self._values
        )
        return self._remove(tx, [row[0] for row in rows])

    def _prepare(self, tx: Transaction) -> None:
        """Before the first is removed."""

    def _remove(self, tx: Transaction, ids: list[int]) -> int:
        return tx.change(f"DELETE FROM {{{self.table}}} WHERE {self.key} IN ($ids)", listed(ids))


class _Results(_Old):
    table, key, time = "result", "item_id", "expire_time"


class _Batches(_Old):
    table, time, also = "batch", "end_time", " AND end_time > 0"


class _Letters(_Old):
    table, time = "dead", "dead_time"

    def _remove(self, tx: Transaction, ids: list[int]) -> int:
        return len(DeadLetters(self._name).delete(tx, ids))


class _Endings(_Old):
    table, time, also = "ending", "end_time", f" AND outcome <> '{PRUNED}'"

    def _prepare(self, tx: Transaction) -> None:
        """Write down of which items nobody can tell any more how they ended: else they would count as ok."""
        old = "FROM {ending} WHERE queue_name = :queue AND end_time < :before"
        highest = tx.row(f"SELECT COALESCE(MAX(item_id), 0) {old}", **self._values)[0]
        tx.change(f"DELETE {old} AND outcome = '{PRUNED}'", **self._values)
        tx.change(
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
            f"VALUES (:queue, :id, '{PRUNED}', 0, {{now}})",
            queue=self._name,
            id=highest,
        )


class _Received(_Old):
    # Its times stand for the rows, of which only all with the same time go together.
    table, key, time = "received", "receive_time", "receive_time"

    def _remove(self, tx: Transaction, ids: list[int]) -> int:
        latest = max(ids, default=0)
        return tx.change("DELETE FROM {received} WHERE queue_name = :queue AND receive_time <= :latest",
                         queue=self._name, latest=latest)  # fmt: skip


def _prune_runs(database: Database, age: int, dry_run: bool) -> int:
    if dry_run:
        return database.statement(lambda tx: runs.count_old(tx, age), write=False)
    return sum(iter(lambda: database.transaction(lambda tx: runs.remove_old(tx, age, _RUNS_AT_ONCE)), 0))


def _prune_audit(database: Database, before: int, dry_run: bool) -> int:
    if dry_run:
        count = "SELECT COUNT(*) FROM {audit} WHERE time < :before"
        return int(database.statement(lambda tx: tx.row(count, before=before), write=False)[0])
    return sum(iter(lambda: database.transaction(partial(remove_old_audit, before=before)), 0))


def remove_old_audit(tx: Transaction, before: int) -> int:
    """Remove some of what was noted before a moment; how many."""
    rows = tx.rows(f"SELECT id FROM {{audit}} WHERE time < :before ORDER BY time LIMIT {CHUNK}", before=before)
    return tx.change("DELETE FROM {audit} WHERE id IN ($ids)", listed(row[0] for row in rows)) if rows else 0
