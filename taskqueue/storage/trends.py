"""The statements on numbers over time: what was done in each minute and each hour, and how many items stood there.

A row belongs to a queue ("": all queues together), a resolution (seconds) and the beginning of that minute or hour, by
the database's clock. Rows grow: whoever executes items adds what it has counted every few seconds (see
``storage.recorder``). Nothing here reads items but :func:`count_standing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import histogram
from .rows import CHUNK
from .schema import RUN_TIME_BINS
from .transaction import Transaction

#: Seconds that a row stands for.
MINUTE, HOUR = 60, 3600
#: The name under which all queues together are counted.
ALL_QUEUES = ""
#: For so long (ms) rows are kept, by their resolution.
KEPT = {MINUTE: 2 * 86_400_000, HOUR: 90 * 86_400_000}
#: No more items of a queue are counted than so many.
_MOST = 1_000_000

_BINS = tuple(f"ran_{number}" for number in range(RUN_TIME_BINS))
_SUMS = ("done", "failed", "dead", "run_time", *_BINS)
_KEY = ("queue_name", "resolution", "start")
# Names of parameters have no digits.
_MARKS = tuple(f"ran_{chr(ord('a') + number)}" for number in range(RUN_TIME_BINS))
_INSERTED = ", ".join((*_KEY, *_SUMS, "depth"))
_VALUES = ", ".join(f":{name}" for name in (*_KEY, *_SUMS[: -len(_BINS)], *_MARKS, "depth"))


@dataclass(slots=True)
class Increment:
    """What is added to the rows of a queue."""

    #: Attempts that ended ok, that failed, and those among the latter that left a dead letter.
    done: int = 0
    failed: int = 0
    dead: int = 0
    #: Seconds that all these took together.
    run_time: float = 0.0
    #: How many took how long, by the bins of ``storage.histogram``.
    ran: list[int] = field(default_factory=lambda: [0] * RUN_TIME_BINS)

    def add_done(self, times: Sequence[float]) -> None:
        """Attempts that ended ok, and took so long (seconds)."""
        self.done += len(times)
        self.run_time += sum(times)
        histogram.count(times, self.ran)

    def add_failed(self, seconds: float, *, is_dead: bool) -> None:
        """An attempt that failed."""
        self.failed += 1
        self.dead += is_dead
        self.run_time += seconds
        histogram.count((seconds,), self.ran)

    def add(self, other: Increment) -> None:
        """Add another one to this."""
        self.done += other.done
        self.failed += other.failed
        self.dead += other.dead
        self.run_time += other.run_time
        self.ran = [mine + more for mine, more in zip(self.ran, other.ran, strict=True)]


@dataclass(frozen=True, slots=True)
class TrendRow:
    """What is stored of a queue for one minute or hour, or the sum of several such rows."""

    queue_name: str
    #: The beginning of the minute or hour (ms since 1970).
    start: int
    done: int = 0
    failed: int = 0
    dead: int = 0
    #: Milliseconds that all attempts that ended ok or failed took together.
    run_time: int = 0
    ran: tuple[int, ...] = (0,) * RUN_TIME_BINS
    #: How many items stood in the queue, as seen last; None: nobody has looked.
    depth: int | None = None

    def quantile(self, part: float) -> float | None:
        """The time (seconds) within which that part (0 to 1) of the attempts ended; None: there were none."""
        return histogram.quantile(self.ran, part)

    def plus(self, later: TrendRow) -> TrendRow:
        """Both together; the depth is the later one that is known."""
        return TrendRow(
            self.queue_name, self.start, self.done + later.done, self.failed + later.failed, self.dead + later.dead,
            self.run_time + later.run_time, tuple(map(sum, zip(self.ran, later.ran, strict=True))),
            later.depth if later.depth is not None else self.depth,
        )  # fmt: skip


def now(tx: Transaction) -> int:
    """The database's clock (ms since 1970)."""
    return int(tx.row("SELECT {now}")[0])


def add(tx: Transaction, increments: Mapping[str, Increment]) -> None:
    """Add to the minute and the hour that it is now, of each queue and of all together.

    To be called in a transaction. Rows are touched in an order that is the same for everybody, so that of several who
    add at the same time each waits for those before it, and nobody for one that waits for it.
    """
    together = Increment()
    for increment in increments.values():
        together.add(increment)
    _merge(tx, {**{name: _values(found) for name, found in increments.items()}, ALL_QUEUES: _values(together)})


def sample(tx: Transaction, queue_name: str, depth: int) -> None:
    """So many items stand in the queue at this moment."""
    samples(tx, {queue_name: depth})


def samples(tx: Transaction, depths: Mapping[str, int]) -> None:
    """The same for several queues. To be called in a transaction, like :func:`add`."""
    nothing = _values(Increment())
    _merge(tx, {name: {**nothing, "depth": depth} for name, depth in depths.items()})


def _values(increment: Increment) -> dict[str, int | None]:
    return {
        "done": increment.done, "failed": increment.failed, "dead": increment.dead,
        "run_time": round(increment.run_time * 1000), "depth": None,
        **dict(zip(_MARKS, increment.ran, strict=True)),
    }  # fmt: skip


def _merge(tx: Transaction, values: Mapping[str, Mapping[str, int | None]]) -> None:
    moment = now(tx)
    rows: list[dict[str, Any]] = [
        {**values[name], "queue_name": name, "resolution": resolution, "start": _aligned(moment, resolution)}
        for name in sorted(values)
        for resolution in sorted(KEPT)
    ]
    # One statement makes a row or adds to it: of two who make the same one at the same time the second one adds. (To
    # update, insert what is missing and update again would let two such wait for each other on MariaDB.)
    merging = tx.dialect.merging("{trend}", _KEY, _SUMS, "depth")
    tx.many(f"INSERT INTO {{trend}} ({_INSERTED}) VALUES ({_VALUES}) {merging}", rows)


def _aligned(moment: int, resolution: int) -> int:
    return moment - moment % (resolution * 1000)


# --- how many items there are ---


def sampled(tx: Transaction) -> set[str]:
    """The queues of which it is known already how many items stood there in this minute."""
    rows = tx.rows(
        "SELECT queue_name FROM {trend} WHERE resolution = :resolution AND start > {now} - :age AND depth IS NOT NULL",
        resolution=MINUTE, age=MINUTE * 1000,
    )  # fmt: skip
    return {row[0] for row in rows}


def count_standing(tx: Transaction, queue_name: str) -> int:
    """How many items stand in a queue, in whatever state; no further than a million."""
    row = tx.row(
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM {item} WHERE queue_name = :queue LIMIT $most) AS found",
        {"most": str(int(_MOST))},
        queue=queue_name,
    )
    return int(row[0])


# --- looking ---

_COLUMNS = ", ".join(("queue_name", "start", "done", "failed", "dead", "run_time", "depth", *_BINS))


def read(tx: Transaction, queue_name: str, resolution: int, since: int) -> list[TrendRow]:
    """The rows of a queue that begin at ``since`` (ms since 1970) or later, the oldest first."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM {{trend}} WHERE queue_name = :queue AND resolution = :resolution AND start >= :since "
        "ORDER BY start",
        queue=queue_name, resolution=resolution, since=since,
    )  # fmt: skip
    return [_row(row) for row in rows]


def done_lately(
    tx: Transaction, queue_names: Sequence[str], resolution: int, age: int
) -> tuple[int | None, dict[str, dict[int, int]]]:
    """How many attempts of each of some queues ended ok, by the beginnings (ms since 1970) of the minutes or hours that
    began no longer than ``age`` ms ago; by one statement, and with the database's clock if there is anything."""
    found: dict[str, dict[int, int]] = {name: {} for name in queue_names}
    if not found:
        return None, found
    bound = {f"queue_{_letters(number)}": name for number, name in enumerate(found)}
    marks = ", ".join(f":{mark}" for mark in bound)
    rows = tx.rows(
        f"SELECT {{now}}, queue_name, start, done FROM {{trend}} WHERE queue_name IN ({marks}) "
        "AND resolution = :resolution AND start >= {now} - :age",
        resolution=resolution, age=age, **bound,
    )  # fmt: skip
    for _now, name, start, done in rows:
        found[name][start] = done
    return (int(rows[0][0]) if rows else None), found


def _letters(number: int) -> str:
    """A number by letters, for the name of a parameter."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def _row(row: Sequence[Any]) -> TrendRow:
    name, start, done, failed, dead, run_time, depth, *ran = row
    return TrendRow(name, start, done, failed, dead, run_time, tuple(ran), depth)


# --- removing ---


def prune(tx: Transaction) -> int:
    """Remove what is too old, some of it at a time; how many rows."""
    return sum(_prune(tx, resolution, age) for resolution, age in KEPT.items())


def _prune(tx: Transaction, resolution: int, age: int) -> int:
    old = tx.rows(
        f"SELECT start FROM {{trend}} WHERE resolution = :resolution AND start < {{now}} - :age "
        f"ORDER BY start LIMIT {CHUNK}",
        resolution=resolution, age=age,
    )  # fmt: skip
    if not old:
        return 0
    return tx.change(
        "DELETE FROM {trend} WHERE resolution = :resolution AND start <= :latest",
        resolution=resolution, latest=old[-1][0],
    )  # fmt: skip
