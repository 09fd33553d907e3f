"""Looking at a run: what is in hand, what is asked of a human, what it waits for."""

from __future__ import annotations

from dataclasses import dataclass

from ..queues.sql_base import SqlBase
from ..storage import presence, registry
from ..storage.presence import Beat, HeldRow
from ..storage.rows import Place
from ..storage.runs import RunRow
from ..storage.schema import DELAYED, LEASED, READY
from ..storage.transaction import Transaction
from .state import END_STEP, Problem

#: So many items in hand are shown at most; so many are read to find them among those that are only leased ahead.
_SHOWN = 8
_READ = 200


@dataclass(frozen=True)
class InHand:
    """An item (or the last step) that somebody executes, or holds. Times are seconds; None: unknown."""

    item_id: int
    title: str
    attempt: int
    fence: int
    holder: str
    running: float | None = None
    done: float | None = None
    total: float | None = None
    message: str = ""
    silent: float | None = None
    #: Seconds since its holder's latest sign of life, and whether that is too long ago.
    beat_age: float | None = None
    is_stale: bool = False

    @property
    def fraction(self) -> float | None:
        """How much of it is done, 0 to 1, if it says so."""
        if self.done is None or not self.total or self.total <= 0:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)


@dataclass(frozen=True)
class Retry:
    """An item that failed and waits for its pause to end."""

    item_id: int
    title: str
    fence: int
    #: The next attempt, and how many there will be at most.
    attempt: int
    attempts: int
    seconds: float


class Look:
    """Questions about the queue of a run, asked inside a transaction or statement.

    Arguments:
        queue: the queue.
        writes: whether the transaction is a writing one.
    """

    def __init__(self, queue: SqlBase, *, writes: bool = False) -> None:
        self._queue = queue
        self._writes = writes

    def status(self, tx: Transaction) -> str:
        """The status of the queue."""
        found = registry.find(tx, self._queue.name)
        return found.status if found is not None else "deleted"

    # --- what is asked of a human ---

    def question(self, tx: Transaction, run: RunRow, queue_status: str) -> Problem | None:
        """What blocks the run, as it stands now: what a human may retry or skip."""
        if run.status not in ("running", "blocked"):
            return None
        stored = Problem.unpack(run.problem) if run.status == "blocked" else None
        if stored is not None and self._still_stands(tx, run, stored):
            return stored
        if run.status == "blocked" or queue_status == "aborted":
            return self._failed_head(tx)
        return None

    def _still_stands(self, tx: Transaction, run: RunRow, problem: Problem) -> bool:
        if problem.item_id == END_STEP:
            return run.end_fence == problem.fence
        if problem.is_dead:
            return self._queue.dead.is_dead(tx, problem.item_id)
        place = self._queue.rows.place(tx, problem.item_id)
        return place is not None and place.fence == problem.fence and place.state != LEASED

    def _failed_head(self, tx: Transaction) -> Problem | None:
        """Whoever aborted the queue knew nothing of this run: the head says what happened."""
        place = self._head(tx)
        if place is None or place.last_error is None:
            return None
        return Problem(place.id, place.fence, self.title(place), place.failures + 1, message=place.last_error)

    def _head(self, tx: Transaction) -> Place | None:
        first = self._queue.rows.first(tx, READY, DELAYED)
        return self._queue.rows.place(tx, first) if first is not None else None

    def title(self, place: Place) -> str:
        """The title of an item."""
        return self._queue.title_in(place.data, place.uid, place.id)

    # --- who is there ---

    def is_served(self, tx: Transaction) -> bool:
        """Whether a worker is alive that serves the queue."""
        found = [row for row in presence.workers(tx) if row.serves(self._queue.name)]
        alive = [row for row in found if not row.beat.is_stale(self._stale_after)]
        return bool(alive) or (bool(found) and self._cannot_say_so())

    # --- what it waits for ---

    def next_retry(self, tx: Transaction) -> Retry | None:
        """The failed item whose pause is what everything waits for."""
        if not self._queue.is_sequential and self._queue.rows.first_ready(tx) is not None:
            return None
        place = self._head(tx)
        if place is None or place.state != DELAYED or not place.failures or place.wait <= 0:
            return None
        attempts = self._queue.spec.retry_limit + 1
        return Retry(place.id, self.title(place), place.fence, place.failures + 1, attempts, place.wait / 1000)

    # --- what is in hand ---

    def in_hand(self, tx: Transaction, run: RunRow) -> list[InHand]:
        """What is being executed; of a holder's items that only wait for their turn, none."""
        if run.status == "finishing":
            return [self._end_step(tx, run)]
        found: list[InHand] = []
        seen: set[str] = set()
        for row in presence.held(tx, self._queue.name, _READ):
            holder = row.token or f"item {row.id}"
            if row.start_time is None and holder in seen:
                continue
            seen.add(holder)
            found.append(self._in_hand(row))
        return found[:_SHOWN]

    def _in_hand(self, row: HeldRow) -> InHand:
        def ago(moment: int | None) -> float | None:
            return max(row.now - moment, 0) / 1000 if moment else None

        return InHand(
            row.id,
            self._queue.title_in(row.data, row.uid, row.id),
            row.failures + 1,
            row.fence,
            row.label or "",
            ago(row.start_time),
            row.done,
            row.total,
            row.message or "",
            ago(row.report_time),
            ago(row.beat_time),
            self.is_stale(row),
        )

    def is_stale(self, row: HeldRow) -> bool:
        """Whether the holder of a leased item has given no sign of life for too long."""
        return row.beat is not None and row.beat.is_stale(self._stale_after) and not self._cannot_say_so()

    def _end_step(self, tx: Transaction, run: RunRow) -> InHand:
        seen = presence.beat_of(tx, run.end_holder)
        return InHand(
            END_STEP, "on_end", 1, run.end_fence, seen.label if seen is not None else "",
            beat_age=seen.age / 1000 if seen is not None else None, is_stale=self._is_over(seen),
        )  # fmt: skip

    def is_end_stale(self, tx: Transaction, run: RunRow) -> bool:
        """The same of the step after the last item."""
        return self._is_over(presence.beat_of(tx, run.end_holder))

    def _is_over(self, beat: Beat | None) -> bool:
        return (beat is None or beat.is_stale(self._stale_after)) and not self._cannot_say_so()

    def _cannot_say_so(self) -> bool:
        """Whether the one writer of the database is busy: a sign of life has to wait until it is through."""
        return not self._writes and self._queue.database.is_being_written()

    @property
    def _stale_after(self) -> float:
        return self._queue.settings.stale_after * 1000
