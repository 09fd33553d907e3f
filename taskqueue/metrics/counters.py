"""What this process has done: attempts by outcome, how long they took, how long their items had waited."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..errors import PayloadError
from ..outcome import Outcome
from ..queues.base import Queue
from ..signals import item_finished
from ..spec import OPERATION_PAYLOAD
from .optional import prometheus

_RUN_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600)
_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 3600)


class Counters:
    """The counters of a process, fed by the signal ``item_finished``."""

    def __init__(self) -> None:
        library = prometheus()
        self.registry = library.CollectorRegistry()
        self._attempts = library.Counter(
            "taskqueue_attempts", "Attempts at items, by how they ended.", ["queue", "outcome"], registry=self.registry
        )
        self._operations = library.Counter(
            "taskqueue_operation_attempts", "Attempts at deferred calls, by how they ended; one that says no is ok.",
            ["operation", "outcome"], registry=self.registry,
        )  # fmt: skip
        self._run = library.Histogram(
            "taskqueue_run_seconds", "How long attempts took.", ["queue"], buckets=_RUN_BUCKETS, registry=self.registry
        )
        self._latency = library.Histogram(
            "taskqueue_claim_latency_seconds", "From submission to first start, delays included.", ["queue"],
            buckets=_LATENCY_BUCKETS, registry=self.registry,
        )  # fmt: skip

    def count(self, queue: Queue, *, outcome: Outcome, **facts: Any) -> None:
        """Receiver of ``item_finished``; what nobody has measured is left out."""
        self._attempts.labels(queue.name, outcome.value).inc()
        if queue.spec.payload == OPERATION_PAYLOAD and (name := _operation(facts.get("item"))) is not None:
            self._operations.labels(name, outcome.value).inc()
        for histogram, fact in ((self._run, "seconds"), (self._latency, "waited")):
            if (seconds := facts.get(fact)) is not None:
                histogram.labels(queue.name).observe(seconds)


def _operation(item: Any) -> str | None:
    """Which operation was called; None of news that a call has ended, and of what cannot be read."""
    try:
        name = item.data.get("operation")
    except (PayloadError, AttributeError):
        return None
    return name if isinstance(name, str) else None


@lru_cache(maxsize=1)
def process_counters() -> Counters:
    """The counters of this process, which count from the first call on."""
    counters = Counters()
    item_finished.connect(counters.count, weak=False)
    return counters
