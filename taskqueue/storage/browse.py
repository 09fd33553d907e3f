"""The statements that list for humans what stands in the tables, newest first, a page at a time; nothing is changed.

However much stands there, a page reads little more than it shows: every list begins at a place in an index and goes
down from it. Two things are read otherwise: what is leased or delayed in a queue stands in its index by time, so that
all of it is gone through, without its rows; and what no index knows, such as a title or an outcome, is looked at in
parts (see ``dashboard.lists``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from .presence import TOKEN_LENGTH, Beat
from .reading import WEIGHTS, Reading
from .rows import listed
from .schema import DELAYED, LEASED, READY
from .transaction import Transaction

#: Ids lie above and below these.
LOWEST, HIGHEST = -1, 2**63 - 1
#: So much of a long text is read for a list; of an error its first line is shown.
_HEAD = 400
#: What is larger is not read for a list, because nothing but its title is of use there.
_LARGE = 20_000
_DATA = f"CASE WHEN LENGTH(data) <= {_LARGE} THEN data END"
_DATA_OF_ITEM = f"CASE WHEN LENGTH(item.data) <= {_LARGE} THEN item.data END"


class Bounds(NamedTuple):
    """Ids between which something is looked for."""

    above: int = LOWEST
    below: int = HIGHEST

    def condition(self) -> tuple[str, dict[str, int]]:
        """That an id lies between them, and the values. What bounds nothing is left out: PostgreSQL takes a range whose
        ends it does not know for a small one, and rather sorts it than goes through it in order."""
        values = {name: value for name, value in self._asdict().items() if value not in (LOWEST, HIGHEST)}
        signs = {"above": ">", "below": "<"}
        return " AND ".join(f"id {signs[name]} :{name}" for name in values) or "id >= 0", values


class ItemLine(NamedTuple):
    """An item in a list; times in ms since 1970. ``data`` is None where it is large."""

    id: int
    queue_name: str
    uid: str
    fence: int
    state: int
    weight: int
    submit_time: int
    release_time: int
    run_count: int
    failures: int
    is_cancelled: int
    last_error: str | None
    data: str | None
    label: str | None
    beat_time: int | None
    beat_period: int | None
    now: int

    @property
    def beat(self) -> Beat | None:
        """The latest sign of life of its holder; None when it is not known."""
        if self.beat_time is None or self.beat_period is None:
            return None
        return Beat(max(self.now - self.beat_time, 0), self.beat_period, self.label or "")


class DeadLine(NamedTuple):
    """A dead letter in a list. ``data`` is None where it is large."""

    id: int
    queue_name: str
    uid: str
    weight: int
    submit_time: int
    failures: int
    error: str
    dead_time: int
    data: str | None


class EndingLine(NamedTuple):
    """A line of history in a list."""

    id: int
    queue_name: str
    item_id: int
    outcome: str
    attempt: int
    error: str | None
    end_time: int


# --- items ---------------------------------------------------------------------------------------


def items(tx: Transaction, bounds: Bounds, limit: int) -> list[tuple[int, str]]:
    """The newest items of all queues: their ids, and the names of their queues."""
    within, values = bounds.condition()
    rows = tx.rows(
        f"SELECT id, queue_name FROM {{item}} WHERE {within} ORDER BY id DESC LIMIT $limit",
        {"limit": str(int(limit))},
        **values,
    )
    return [(row[0], row[1]) for row in rows]


def waiting(tx: Transaction, queue_name: str, bounds: Bounds, limit: int) -> list[int]:
    """The ids of the newest items of a queue that are ready, or whose delay or lease is over."""
    found = [*_ready(tx, queue_name, bounds, limit)]
    for state in (LEASED, DELAYED):
        found += _hidden(tx, queue_name, state, "release_time <= {now}", bounds, limit)
    return _newest(found, limit)


def leased(tx: Transaction, queue_name: str, bounds: Bounds, limit: int) -> list[int]:
    """The ids of the newest items of a queue that somebody holds."""
    return _hidden(tx, queue_name, LEASED, "release_time > {now}", bounds, limit)


def delayed(tx: Transaction, queue_name: str, bounds: Bounds, limit: int) -> list[int]:
    """The ids of the newest items of a queue that are scheduled, or wait for their retry."""
    return _hidden(tx, queue_name, DELAYED, "release_time > {now}", bounds, limit)


def standing(tx: Transaction, queue_name: str, bounds: Bounds, limit: int) -> list[int]:
    """The ids of the newest items of a queue, in whatever state."""
    found = [*_ready(tx, queue_name, bounds, limit)]
    for state in (LEASED, DELAYED):
        found += _hidden(tx, queue_name, state, "release_time > 0", bounds, limit)
    return _newest(found, limit)


def _ready(tx: Transaction, queue_name: str, bounds: Bounds, limit: int) -> list[int]:
    weights = Reading(tx.dialect, queue_name).weights(tx)
    if len(weights) == WEIGHTS:  # there may be thousands: one pass over what is ready, and no row of it
        return _hidden(tx, queue_name, READY, "release_time = 0", bounds, limit)
    found: list[int] = []
    for weight in weights:
        rows = tx.rows(
            f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {READY} "
            "AND release_time = 0 AND {of_weight} ORDER BY weight DESC, id DESC LIMIT $limit",
            {"limit": str(int(limit))},
            queue=queue_name,
            weight=weight,
            **bounds._asdict(),
        )
        found += [row[0] for row in rows]
    return _newest(found, limit)


def _hidden(tx: Transaction, queue_name: str, state: int, when: str, bounds: Bounds, limit: int) -> list[int]:
    # The sums keep PostgreSQL from going through the ids of all queues in the hope of finding these soon, or because it
    # takes a range whose ends it does not know, as in a prepared statement, for a small one.
    rows = tx.rows(
        f"SELECT id FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {int(state)} "
        f"AND {when} AND id + 0 > :above AND id + 0 < :below ORDER BY id + 0 DESC LIMIT $limit",
        {"limit": str(int(limit))},
        queue=queue_name,
        **bounds._asdict(),
    )
    return [row[0] for row in rows]


def _newest(ids: Sequence[int], limit: int) -> list[int]:
    return sorted(ids, reverse=True)[:limit]


def item_lines(tx: Transaction, ids: Sequence[int], pattern: str | None = None) -> list[ItemLine]:
    """These items, the newest first; with ``pattern`` those alone that may be meant by it (see ``like``)."""
    also, values = _like(("item.data", "item.last_error"), pattern)
    rows = tx.rows(
        "SELECT item.id, item.queue_name, item.uid, item.fence, item.state, item.weight, item.submit_time, "
        "item.release_time, item.run_count, item.failures, item.is_cancelled, "
        f"SUBSTR(item.last_error, 1, {_HEAD}), {_DATA_OF_ITEM}, holder.label, holder.beat_time, "
        "holder.beat_period, {now} FROM {item} AS item LEFT JOIN {holder} AS holder "
        f"ON holder.token = SUBSTR(item.holder, 1, {TOKEN_LENGTH}) WHERE item.id IN ($ids){also} ORDER BY item.id DESC",
        listed(ids),
        **values,
    )
    return [ItemLine(*row) for row in rows]


# --- dead letters --------------------------------------------------------------------------------


class Death(NamedTuple):
    """The place of a dead letter in the list of those that died last."""

    time: int = HIGHEST
    id: int = HIGHEST


def dead(tx: Transaction, queue_name: str, before: Death, since: int, limit: int) -> list[Death]:
    """Those of a queue that died last; before a place, and not before ``since`` (ms)."""
    within = tx.dialect.stretch("dead_time", ">= :since", "<= :time")
    rows = tx.rows(
        f"SELECT dead_time, id FROM {{dead}} WHERE {within} AND (dead_time < :time OR id < :id) "
        "ORDER BY queue_name DESC, dead_time DESC, id DESC LIMIT $limit",
        {"limit": str(int(limit))},
        queue=queue_name,
        since=since,
        **before._asdict(),
    )
    return [Death(*row) for row in rows]


def dead_lines(tx: Transaction, ids: Sequence[int], pattern: str | None = None) -> list[DeadLine]:
    """These dead letters, those that died last first; with ``pattern`` those alone that may be meant by it."""
    also, values = _like(("data", "error"), pattern)
    rows = tx.rows(
        f"SELECT id, queue_name, uid, weight, submit_time, failures, SUBSTR(error, 1, {_HEAD}), dead_time, {_DATA} "
        f"FROM {{dead}} WHERE id IN ($ids){also} ORDER BY dead_time DESC, id DESC",
        listed(ids),
        **values,
    )
    return [DeadLine(*row) for row in rows]


# --- history -------------------------------------------------------------------------------------

#: Of what has no place in a list for humans: marks of our own.
_MARKS = ("reset", "pruned")


def endings(
    tx: Transaction, queue_name: str | None, outcomes: Sequence[str], bounds: Bounds, limit: int
) -> list[EndingLine]:
    """The latest endings with these outcomes (none given: with any), of one queue or (None) of all."""
    source, order, values = _stretch_of_endings(tx, queue_name, bounds)
    chosen = "outcome NOT IN ('" + "', '".join(_MARKS) + "')"
    if outcomes:
        chosen, names = _one_of(outcomes)
        values |= names
    rows = tx.rows(
        f"SELECT id, queue_name, item_id, outcome, attempt, SUBSTR(error, 1, {_HEAD}), end_time "
        f"{source} AND {chosen} ORDER BY {order} LIMIT $limit",
        {"limit": str(int(limit))},
        **values,
    )
    return [EndingLine(*row) for row in rows]


def ending_at(tx: Transaction, queue_name: str | None, bounds: Bounds, number: int) -> int | None:
    """The id of the ``number``-th latest ending of a queue, or (None) of all; None: there are not so many."""
    source, order, values = _stretch_of_endings(tx, queue_name, bounds)
    row = tx.row(
        f"SELECT id {source} ORDER BY {order} LIMIT 1 OFFSET $skipped",
        {"skipped": str(int(number) - 1)},
        **values,
    )
    return int(row[0]) if row else None


def _stretch_of_endings(tx: Transaction, queue_name: str | None, bounds: Bounds) -> tuple[str, str, dict[str, Any]]:
    """Where the endings of a queue, or of all, between two ids are read from; their order, the latest first; values."""
    if queue_name is None:
        within, values = bounds.condition()
        return f"FROM {{ending}} WHERE {within}", "id DESC", {**values}
    within = tx.dialect.stretch("id", "> :above", "< :below")
    source = f"FROM {{ending}} {{ending_index}} WHERE {within}"
    return source, "queue_name DESC, id DESC", {**bounds._asdict(), "queue": queue_name}


def _one_of(outcomes: Sequence[str]) -> tuple[str, dict[str, str]]:
    """That an outcome is one of these, and the values."""
    names = {f"outcome_{chr(97 + index)}": outcome for index, outcome in enumerate(outcomes)}
    return f"outcome IN ({', '.join(f':{name}' for name in names)})", names


def changed_since(tx: Transaction, queue_name: str, item_ids: Sequence[int], moment: int) -> set[int]:
    """Those of the items of a queue to which something has happened since ``moment`` (ms): a failure, a revival."""
    rows = tx.rows(
        "SELECT DISTINCT item_id FROM {ending} WHERE queue_name = :queue AND item_id IN ($ids) AND end_time > :moment",
        listed(item_ids),
        queue=queue_name,
        moment=moment,
    )
    return {row[0] for row in rows}


# --- places and numbers --------------------------------------------------------------------------


def first_item_since(tx: Transaction, moment: int) -> int:
    """The id from which on items were submitted at ``moment`` (ms) or later: found by halving, because ids grow."""
    return _first_since(tx, "SELECT id, submit_time FROM {item} WHERE id >= :id ORDER BY id LIMIT 1", moment,
                        "SELECT MAX(id) FROM {item}")  # fmt: skip


def first_ending_since(tx: Transaction, moment: int) -> int:
    """The same of endings."""
    return _first_since(tx, "SELECT id, end_time FROM {ending} WHERE id >= :id ORDER BY id LIMIT 1", moment,
                        "SELECT MAX(id) FROM {ending}")  # fmt: skip


def _first_since(tx: Transaction, following: str, moment: int, last: str) -> int:
    low, high = 0, int(tx.row(last)[0] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = tx.row(following, id=middle)
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = int(found[0]) + 1
    return low


class Numbers(NamedTuple):
    """How many items of a queue are in which state; none is counted further than was asked for."""

    waiting: int
    running: int
    scheduled: int
    dead: int


def numbers(tx: Transaction, queue_name: str, most: int) -> Numbers:
    """The numbers of a queue, each counted up to ``most``, in one statement."""
    row = tx.row(
        f"SELECT {_STATES_OF_ITEMS}, (SELECT COUNT(*) FROM (SELECT id FROM {{dead}} WHERE "
        f"{tx.dialect.stretch('dead_time', '>= 0', '<= :last')} ORDER BY queue_name, dead_time LIMIT $most) AS found)",
        {"most": str(int(most))},
        queue=queue_name,
        last=HIGHEST,
    )
    ready, lease_over, delay_over, held, later, letters = map(int, row)
    return Numbers(min(ready + lease_over + delay_over, most), held, later, letters)


# The order is that of the index of the claim, which keeps PostgreSQL from going through all rows of all queues instead.
_OF_QUEUE = "(SELECT COUNT(*) FROM (SELECT id FROM {item} {claim_index} WHERE queue_name = :queue AND state ="
_HELD = f"{_OF_QUEUE} {LEASED} AND release_time"
_LATER = f"{_OF_QUEUE} {DELAYED} AND release_time"
_IN_ORDER = "{now} ORDER BY release_time, weight, id LIMIT $most) AS found)"
_STATES_OF_ITEMS = (
    f"{_OF_QUEUE} {READY} AND release_time = 0 ORDER BY weight, id LIMIT $most) AS found), "
    f"{_HELD} <= {_IN_ORDER}, {_LATER} <= {_IN_ORDER}, {_HELD} > {_IN_ORDER}, {_LATER} > {_IN_ORDER}"
)


def oldest_beat(tx: Transaction, queue_name: str, most: int) -> tuple[int, int] | None:
    """Of those who hold items of a queue the one silent for longest: for how long (ms), and its period. No more than
    ``most`` items are looked at, those first whose leases end first: each beat makes them longer."""
    row = tx.row(
        "SELECT {now} - holder.beat_time, holder.beat_period FROM "
        f"(SELECT DISTINCT SUBSTR(found.holder, 1, {TOKEN_LENGTH}) AS token FROM "
        f"(SELECT holder FROM {{item}} {{claim_index}} WHERE queue_name = :queue AND state = {LEASED} "
        "AND release_time > {now} ORDER BY release_time, weight, id LIMIT $most) AS found) AS held "
        "JOIN {holder} AS holder ON holder.token = held.token ORDER BY holder.beat_time LIMIT 1",
        {"most": str(int(most))},
        queue=queue_name,
    )
    return (max(int(row[0]), 0), int(row[1])) if row else None


def count_endings(tx: Transaction, queue_name: str, outcomes: Sequence[str], since: int, most: int) -> int:
    """How many endings of a queue with these outcomes there were since ``since`` (ms), counted up to ``most``."""
    chosen, names = _one_of(outcomes)
    within = tx.dialect.stretch("end_time", ">= :since", "<= :until")
    row = tx.row(
        f"SELECT COUNT(*) FROM (SELECT id FROM {{ending}} WHERE {within} AND {chosen} "
        "ORDER BY queue_name, end_time LIMIT $most) AS found",
        {"most": str(int(most))},
        queue=queue_name,
        since=since,
        until=HIGHEST,
        **names,
    )
    return int(row[0])


# --- texts ---------------------------------------------------------------------------------------


#: What is shown of nothing, and of what looks like a secret, is not stored; "ß" is "ss" where case does not matter.
_SHOWN_ONLY = ("none", "hidden")
_RUNS = re.compile(r"[a-z0-9]+|[^a-z0-9]+", re.ASCII | re.IGNORECASE | re.DOTALL)


def like(text: str) -> str:
    """A pattern that finds all that is shown with a text in it, and may find more: what databases treat differently may
    be anything, such as letters that are not ASCII, whose case only some of them know; and so may what is shown
    otherwise than it is stored, such as the space after a comma."""
    return "%" + "".join(map(_literal, _RUNS.findall(text))) + "%"


def _literal(run: str) -> str:
    if not (run.isascii() and run.isalnum()) or any(run.lower() in word for word in _SHOWN_ONLY):
        return "%"
    return re.sub("ss", "%", run, flags=re.IGNORECASE)


def _like(columns: Sequence[str], pattern: str | None) -> tuple[str, dict[str, str]]:
    if pattern is None:
        return "", {}
    return " AND (" + " OR ".join(f"{column} {{like}} :pattern" for column in columns) + ")", {"pattern": pattern}
