"""What stands in the queues of a service, as Prometheus asks for it; counted every few seconds at most."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import clock
from ..errors import TaskQueueError
from ..queues.batch import BatchQueue
from ..service import QueueService
from ..storage import gauges
from ..storage.gauges import QueueGauges
from .kept import Kept
from .optional import prometheus

_log = logging.getLogger(__name__)
#: What was counted is shown for so long (ms).
_SHOWN_FOR = 5000
_STATES = ("ready", "leased", "delayed")


class Census(NamedTuple):
    """What was counted; None where the database could not be reached."""

    queues: dict[str, QueueGauges] | None
    workers: int = 0


class ServiceCollector:
    """Collects the gauges of one service.

    Arguments:
        service: whose queues are counted; those of type Memory in this process too.
    """

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._census = Kept(self._count, _SHOWN_FOR)

    def collect(self) -> Iterator[Any]:
        """The metrics, as Prometheus' library wants them."""
        census = self._census.get()
        gauge = prometheus().core.GaugeMetricFamily
        yield gauge("taskqueue_database_up", "Whether the queues could be counted.", census.queues is not None)
        if census.queues is None:
            return
        yield gauge("taskqueue_workers", "Workers with a fresh sign of life.", census.workers)
        items = gauge("taskqueue_items", "Items in a queue, by state.", labels=["queue", "state"])
        oldest = gauge(
            "taskqueue_oldest_ready_seconds",
            "Since when the oldest ready item has been in the queue.",
            labels=["queue"],
        )
        dead = gauge("taskqueue_dead_letters", "Dead letters of a queue.", labels=["queue"])
        for name, counts in sorted(census.queues.items()):
            for state in _STATES:
                items.add_metric([name, state], getattr(counts, state))
            oldest.add_metric([name], counts.oldest)
            dead.add_metric([name], counts.dead)
        yield from (items, oldest, dead)

    def _count(self) -> Census:
        queues = {queue.name: _of_memory(queue) for queue in self._service.local_queues()}
        if not self._service.uses_database:
            return Census(queues)
        stale_after = clock.to_ms(self._service.settings.stale_after)
        try:
            found = self._service.database.statement(gauges.count_all, write=False)
            workers = self._service.database.statement(lambda tx: gauges.count_workers(tx, stale_after), write=False)
        except TaskQueueError as error:
            _log.warning("queues could not be counted: %s", error)
            return Census(None)
        return Census({**found, **queues}, workers)


def _of_memory(queue: BatchQueue) -> QueueGauges:
    counts = queue.statistics()
    submitted = [clock.moment_ms(item.submit_time) for item in queue.items() if item.release_time is None]
    oldest = max(clock.now_ms() - min(submitted), 0) / 1000 if submitted else 0.0
    return QueueGauges(counts["ready"], counts["leased"], counts["delayed"], counts["dead"], oldest)
