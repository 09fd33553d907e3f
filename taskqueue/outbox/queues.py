"""The queues on which the messages of an outbox stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, SpecError
from ..execution.ahead import LeaseAhead
from ..execution.attempt import Execution
from ..execution.holding import Holding
from ..periodic import tick
from ..queues.batch import BatchQueue
from ..service import QueueService
from ..spec import check_name
from ..storage.committed import after_commit
from .options import ServiceOptions

if TYPE_CHECKING:
    from ..queues.base import Joinable

#: While others hold messages: how soon (seconds) it is looked again.
_LOOK_EVERY = 0.05


class Queues:
    """Finds and makes them, each when it is first needed.

    Arguments:
        app_id: keeps the messages of several applications on one database apart; part of the names of the queues.
    """

    def __init__(self, service: QueueService, app_id: str | None = None) -> None:
        self._service = service
        self._suffix = f":{app_id}" if app_id else ""
        self._known: dict[str, tuple[BatchQueue, dict[str, Any]]] = {}

    def of(self, options: ServiceOptions, session: Joinable | None) -> BatchQueue:
        """The queue for the messages of a service; made in the caller's transaction if there is one.

        Raises :class:`ConfigurationError` when services that share a queue want different things of it.
        """
        name, wanted = options.queue + self._suffix, options.queue_options()
        if name not in self._known:
            return self._open(name, wanted, session)
        queue, known = self._known[name]
        if known != wanted:
            differing = ", ".join(sorted(key for key in wanted if wanted[key] != known[key]))
            raise ConfigurationError(
                f"two services share the queue {name!r}, but not its options ({differing}): give one a queue of its own"
            )
        return queue

    def _open(self, name: str, wanted: dict[str, Any], session: Joinable | None) -> BatchQueue:
        options = {**wanted, "name": name}
        if session is None or self._service.exists(name):
            queue = self._service.create(**options)
            self._known[name] = queue, wanted
            return queue
        queue = self._service.create_within(session, **options)
        joined = self._service.database.orm_session(session)
        if joined is not None:
            after_commit(joined, ("outbox", name), lambda: self._known.setdefault(name, (queue, wanted)))
        return queue

    def series(self, service_name: str, name: str) -> str:
        """The name of a schedule among all of the database; that of its queue is no part of it, because it may change.

        Raises :class:`SpecError`.
        """
        for part, what in ((service_name, "service with schedules"), (name, "schedule of a service")):
            if ":" in check_name(part, what):
                raise SpecError(f"{part!r} cannot name a {what}: leave out the ':', which separates their names")
        return check_name(f"outbox{self._suffix}:{service_name}:{name}", "schedule")

    def standing(self) -> list[BatchQueue]:
        """All queues of this outbox that exist, also those that other processes have made."""
        return [
            queue for queue in self._service.queues()
            if queue.spec.payload == "outbox" and queue.name.endswith(self._suffix)
            and (self._suffix or ":" not in queue.name)
        ]  # fmt: skip

    def flush(self, queue: BatchQueue, *, wait: bool = True) -> int:
        """Deliver what is due now; return how many attempts were made. Failures are for the messages to bear.

        Arguments:
            wait: also for what others are just delivering.
        """
        attempts = 0
        tick(self._service)
        with queue.hold(), Holding(queue) as holding:
            execution = Execution(holding)
            ahead = LeaseAhead(holding, prefetch=queue.spec.batch_limit)
            while True:
                while items := ahead.next_batch():
                    for attempt in execution.run_batch(items):
                        ahead.ended(attempt, attempt.seconds)
                        attempts += 1
                pause = queue.wait() if wait and queue.is_active() else None
                if pause is None or not (pause.is_leased or pause.seconds == 0):
                    return attempts
                time.sleep(_LOOK_EVERY)
