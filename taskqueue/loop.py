"""Executing what was claimed, and a loop with limits: for cron entries and agents that drive a queue from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import SpecError
from .execution.ahead import together
from .execution.attempt import Attempt, Execution
from .execution.holding import Holding
from .execution.in_order import blocked_keys, for_one_call
from .item import QueueItem
from .outcome import Outcome
from .queues.batch import BatchQueue
from .spec import shown

#: Outcomes that count as errors; an item that was given back, cancelled or lost counts as nothing.
_ERRORS = (Outcome.RETRY, Outcome.DELETE, Outcome.DEAD, Outcome.ABORT)


@dataclass
class LoopReport:
    """What a loop came to."""

    #: Seconds.
    loop_duration: float = 0.0
    #: How often it claimed, the claim that got nothing included.
    loop_requests: int = 0
    #: Attempts that ended well, and that failed (also those that are tried again).
    item_successes: int = 0
    item_errors: int = 0
    #: Of the queue, at the end.
    queue_ready: int = 0
    queue_blocked: int = 0
    queue_total: int = 0
    #: Why it ended.
    exit_message: str = ""


def run_items(queue: BatchQueue, items: Sequence[QueueItem]) -> list[Attempt]:
    """Execute items that were claimed with ``claim_item()`` or ``claim_items()``, in the order given.

    Their leases are renewed meanwhile. When an item aborts the queue, or on a sequential queue has to be tried before
    the others, the rest is given back (outcome "relinquish"). An item that is not held any more is not executed
    (outcome "lease_lost").

    Arguments:
        items: of this queue, as they were claimed.

    Returns an :class:`Attempt` for each, in the same order. Raises :class:`SpecError` on items of other queues and
    :class:`ConfigurationError` when nobody here can run the queue's payload.
    """
    for item in items:
        if not isinstance(item, QueueItem) or item.queue_name != queue.name:
            raise SpecError(f"run_items() takes items that were claimed from queue {queue.name!r}, not {shown(item)}")
    with queue.hold(), Holding(queue) as holding:
        execution = Execution(holding)
        if items:
            holding.adopt(items)
        return _execute(queue, items, holding, execution)


def run_loop(
    queue: BatchQueue,
    max_requests: int | None = 10,
    max_duration: float | None = 120,
    *,
    stop: threading.Event | None = None,
) -> LoopReport:
    """Claim up to ``batch_limit`` items and execute them, again and again, until a limit is reached.

    A failed item does not end the loop; one that aborts the queue does, as does whoever pauses it.

    Arguments:
        max_requests: claim at most so often; None or a negative number: no limit.
        max_duration: begin no further request after so many seconds; None or a negative number: no limit.
        stop: ends the loop after the item in hand, once set.

    Raises :class:`SpecError` on unusable limits and :class:`ConfigurationError` when nobody here can run the queue's
    payload.
    """
    for name, value in (("max_requests", max_requests), ("max_duration", max_duration)):
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise SpecError(f"{name} must be a number or None, not {shown(value)}")
    return _Loop(queue, max_requests, max_duration, stop or threading.Event()).run()


class _Loop:
    def __init__(
        self, queue: BatchQueue, max_requests: int | None, max_duration: float | None, stop: threading.Event
    ) -> None:
        self._queue = queue
        self._max_requests = max_requests
        self._max_duration = max_duration
        self._stop = stop
        self._report = LoopReport()
        self._began = time.monotonic()

    def run(self) -> LoopReport:
        report, queue = self._report, self._queue
        try:
            with queue.hold(), Holding(queue) as holding:
                execution = Execution(holding, stop=self._stop)
                while not (message := self._why_not() or self._request(holding, execution)):
                    pass
        finally:
            queue.store_counts(at_once=True)
        counts = queue.statistics()
        report.queue_ready, report.queue_blocked = counts["ready"], counts["blocked"]
        report.queue_total, report.exit_message = counts["total"], message
        report.loop_duration = round(self._elapsed, 6)
        return report

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _why_not(self) -> str:
        """Why no further request may begin; an empty text when it may."""
        if self._stop.is_set():
            return "stopped"
        if not self._queue.is_active():
            return f"the queue is not active ({_status(self._queue)})"
        if _is_reached(self._max_requests, self._report.loop_requests):
            return f"reached the request limit ({self._max_requests})"
        if _is_reached(self._max_duration, self._elapsed):
            return f"reached the duration limit ({self._max_duration:g} s)"
        return ""

    def _request(self, holding: Holding, execution: Execution) -> str:
        """Claim and execute; why nothing could be claimed, or an empty text."""
        queue, report = self._queue, self._report
        report.loop_requests += 1
        items = holding.lease(queue.spec.batch_limit)
        if not items:
            if queue.wait() is None:
                queue.complete_if_empty()
            return "no item can be claimed"
        queue.begin()
        keep = together(items)
        holding.give_back(items[keep:])
        items = items[:keep]
        outcomes = [attempt.outcome for attempt in _execute(queue, items, holding, execution, self._stop)]
        report.item_successes += outcomes.count(Outcome.OK)
        report.item_errors += sum(outcome in _ERRORS for outcome in outcomes)
        return ""


def _execute(
    queue: BatchQueue, items: Sequence[QueueItem], holding: Holding, execution: Execution,
    stop: threading.Event | None = None,
) -> list[Attempt]:  # fmt: skip
    attempts: dict[int, Attempt] = {}  # by the place of the item among those given
    rest = list(range(len(items)))
    while rest:
        number = for_one_call((items[place] for place in rest), execution.size)
        now, rest = rest[:number], rest[number:]
        latest = execution.run_batch([items[place] for place in now])
        attempts.update(zip(now, latest, strict=True))
        is_aborted = any(attempt.outcome is Outcome.ABORT for attempt in latest)
        is_stopped = stop is not None and stop.is_set()
        back = rest
        if not is_aborted and not is_stopped and rest and _goes_next(queue, items[rest[0]]):
            blocked = blocked_keys(latest)
            back = [place for place in rest if items[place].order_key in blocked]
        holding.give_back([items[place] for place in back])
        attempts.update((place, Attempt(items[place], Outcome.RELINQUISH, None, 0.0)) for place in back)
        rest = [place for place in rest if place not in attempts]
    return [attempts[place] for place in range(len(items))]


def _goes_next(queue: BatchQueue, item: QueueItem) -> bool:
    """Whether no other item goes before ``item``, where that matters."""
    return not queue.is_sequential or queue.is_next(item)


def _is_reached(limit: float | None, value: float) -> bool:
    return limit is not None and 0 <= limit <= value


def _status(queue: BatchQueue) -> str:
    status = queue.status
    return "held back by a queue_active receiver" if status == "active" else status
