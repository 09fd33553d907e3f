"""Executing what is due on one queue, now and in this thread."""

from __future__ import annotations

import threading

from ..queues.batch import BatchQueue
from .ahead import LeaseAhead
from .attempt import Execution
from .holding import Holding

#: While others hold items: how soon (seconds) it is looked again.
_LOOK_EVERY = 0.05


def flush(queue: BatchQueue, *, wait: bool = True, stop: threading.Event | None = None) -> int:
    """Execute what is due now; return how many attempts were made. Failures are for the items to bear.

    Arguments:
        wait: also for what others are just executing.
        stop: ends it after the item in hand, once set; None: nobody stops it.
    """
    attempts, stop = 0, stop or threading.Event()
    with queue.hold(), Holding(queue) as holding:
        execution = Execution(holding, stop=stop)
        ahead = LeaseAhead(holding, prefetch=queue.spec.batch_limit)
        while not stop.is_set():
            while not stop.is_set() and (items := ahead.next_batch()):
                for attempt in execution.run_batch(items):
                    ahead.ended(attempt, attempt.seconds)
                    attempts += 1
            pause = queue.wait() if wait and queue.is_active() else None
            if pause is None or not (pause.is_leased or pause.seconds == 0):
                return attempts
            stop.wait(_LOOK_EVERY)
        return attempts
