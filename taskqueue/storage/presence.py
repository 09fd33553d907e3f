"""The statements on who holds items, and on what the items in hand report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from .rows import Held, listed
from .schema import LEASED
from .transaction import Transaction

#: A holder without a sign of life for so long (ms) is forgotten.
_FORGOTTEN = 86_400_000
#: The token with which an item's ``holder`` begins.
TOKEN_LENGTH = 16


class Beat(NamedTuple):
    """The latest sign of life of a holder: how long ago, and how often it means to give one (ms)."""

    age: int
    period: int
    label: str

    def is_stale(self, stale_after: float) -> bool:
        """Whether that is more than ``stale_after`` ms ago, and more than two beats of its own."""
        return self.age > max(stale_after, 2 * self.period)


class HeldRow(NamedTuple):
    """A leased item, who holds it, and what it has reported; times in ms since 1970, 0 or None where unknown."""

    id: int
    uid: str
    data: str
    fence: int
    failures: int
    release_time: int
    token: str
    label: str | None
    beat_time: int | None
    beat_period: int | None
    start_time: int | None
    done: float | None
    total: float | None
    message: str | None
    report_time: int | None
    now: int

    @property
    def beat(self) -> Beat | None:
        """The latest sign of life of its holder; None when it is not known."""
        if self.beat_time is None or self.beat_period is None:
            return None
        return Beat(max(self.now - self.beat_time, 0), self.beat_period, self.label or "")


def beat(tx: Transaction, token: str, label: str, period: int) -> None:
    """A sign of life of this process, which means to give the next one in ``period`` ms."""
    statement = "UPDATE {holder} SET beat_time = {now}, beat_period = :period WHERE token = :token"
    if tx.change(statement, token=token, period=period):
        return
    tx.change(
        "{insert} {holder} (token, label, start_time, beat_time, beat_period) "
        "VALUES (:token, :label, {now}, {now}, :period) {on_duplicate}",
        token=token,
        label=label,
        period=period,
    )
    tx.change("DELETE FROM {holder} WHERE beat_time < {now} - :age", age=_FORGOTTEN)


class WorkerRow(NamedTuple):
    """A worker process; times in ms since 1970."""

    token: str
    label: str
    start_time: int
    beat_time: int
    beat_period: int
    facts: str
    now: int

    @property
    def beat(self) -> Beat:
        """Its latest sign of life."""
        return Beat(max(self.now - self.beat_time, 0), self.beat_period, self.label)

    def serves(self, queue_name: str) -> bool:
        """Whether it says that it serves this queue."""
        try:
            facts = json.loads(self.facts)
            return facts.get("state") == "serving" and queue_name in facts.get("queues", ())
        except (ValueError, AttributeError, TypeError):
            return False


def beat_of_worker(tx: Transaction, token: str, label: str, period: int, facts: str) -> None:
    """A sign of life of a worker; ``facts`` is JSON: what it serves (see ``worker.roster``)."""
    beat(tx, token, label, period)
    tx.change("UPDATE {holder} SET worker = :facts, label = :label WHERE token = :token",
              facts=facts, label=label, token=token)  # fmt: skip


def workers(tx: Transaction) -> list[WorkerRow]:
    """All that are known, also those that have died lately; the oldest first."""
    rows = tx.rows(
        "SELECT token, label, start_time, beat_time, beat_period, worker, {now} FROM {holder} "
        "WHERE worker IS NOT NULL ORDER BY start_time, token"
    )
    return [WorkerRow(*row) for row in rows]


def leave(tx: Transaction, token: str) -> None:
    """The process has ended in good order."""
    tx.change("DELETE FROM {holder} WHERE token = :token", token=token)


def beat_of(tx: Transaction, token: str) -> Beat | None:
    """The latest sign of life of a process; None when it is not known."""
    row = tx.row("SELECT {now} - beat_time, beat_period, label FROM {holder} WHERE token = :token", token=token)
    return Beat(int(row[0]), int(row[1]), row[2]) if row else None


def report(tx: Transaction, activity: dict[str, Any]) -> None:
    """Store what an item in hand reports: ``item``, ``queue``, ``fence``, ``age`` (ms since it began), ``done``,
    ``total``, ``message``, ``silence`` (ms since it reported, or None). A later holder's report stays as it is."""
    reported = "{now} - :silence" if activity["silence"] is not None else "0"
    values = {key: value for key, value in activity.items() if key != "silence" or value is not None}
    changed = tx.change(
        f"UPDATE {{activity}} SET fence = :fence, start_time = {{now}} - :age, done = :done, total = :total, "
        f"message = :message, report_time = {reported} WHERE item_id = :item AND queue_name = :queue "
        "AND fence <= :fence",
        **values,
    )
    if not changed:
        tx.change(
            "{insert} {activity} (item_id, queue_name, fence, start_time, done, total, message, report_time) "
            f"VALUES (:item, :queue, :fence, {{now}} - :age, :done, :total, :message, {reported}) {{on_duplicate}}",
            **values,
        )


def ended(tx: Transaction, held: Sequence[Held]) -> None:
    """These items, by (id, fence), are in hand no more; what later holders of them report stays."""
    latest = dict(sorted(held))  # of an item that was in hand twice
    lists = listed(latest)
    lists["fences"] = " ".join(f"WHEN {int(item_id)} THEN {int(fence)}" for item_id, fence in latest.items())
    tx.change("DELETE FROM {activity} WHERE item_id IN ($ids) AND fence <= CASE item_id $fences END", lists)


def clear(tx: Transaction, queue_name: str) -> None:
    """Forget what items of a queue reported."""
    tx.change("DELETE FROM {activity} WHERE queue_name = :queue", queue=queue_name)


_FACTS = (
    "SELECT item.id, item.uid, item.data, item.fence, item.failures, item.release_time, holder.token, holder.label, "
    "holder.beat_time, holder.beat_period, activity.start_time, activity.done, activity.total, activity.message, "
    "activity.report_time, {now}"
)
_BESIDE = (
    "LEFT JOIN {activity} AS activity ON activity.item_id = item.id AND activity.fence = item.fence "
    f"LEFT JOIN {{holder}} AS holder ON holder.token = SUBSTR(item.holder, 1, {TOKEN_LENGTH})"
)


def held(tx: Transaction, queue_name: str, limit: int) -> list[HeldRow]:
    """Up to ``limit`` items that are leased at the moment, in the order of the queue."""
    # Found in the index of the claim, by which no more is read than is leased, and of that no rows.
    found = (
        f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {LEASED} "
        "AND release_time > {now} ORDER BY weight, id LIMIT $limit"
    )
    statement = (
        f"{_FACTS} FROM ({found}) AS found JOIN {{item}} AS item ON item.id = found.id {_BESIDE} "
        "ORDER BY item.weight, item.id"
    )
    return [HeldRow(*row) for row in tx.rows(statement, {"limit": str(int(limit))}, queue=queue_name)]


def held_item(tx: Transaction, queue_name: str, item_id: int) -> HeldRow | None:
    """The same of one item."""
    statement = f"{_FACTS} FROM {{item}} AS item {_BESIDE} WHERE item.queue_name = :queue AND item.state = {LEASED}"
    row = tx.row(f"{statement} AND item.id = :id", queue=queue_name, id=item_id)
    return HeldRow(*row) if row else None
