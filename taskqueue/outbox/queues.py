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
from ..spec import check_name, nearest, shown
from ..storage.committed import after_commit
from .options import ServiceOptions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..queues.base import Joinable

#: While others hold messages: how soon (seconds) it is looked again.
_LOOK_EVERY = 0.05
#: After so long (seconds) it is looked whether a queue is still registered: what stands on one that was deleted is
#: delivered by nobody until it is registered again.
TRUSTED = 5.0


class Queues:
    """Finds and makes them, each when it is first needed.

    Arguments:
        app_id: keeps the messages of several applications on one database apart; part of the names of the queues.
    """

    def __init__(self, service: QueueService, app_id: str | None = None) -> None:
        self._service = service
        self._suffix = f":{app_id}" if app_id else ""
        #: What the first service that uses a queue wants of it.
        self._wanted: dict[str, dict[str, Any]] = {}
        #: The queues that were seen to be registered, and when (monotonic seconds).
        self._known: dict[str, tuple[BatchQueue, float]] = {}

    def of(self, options: ServiceOptions, session: Joinable | None) -> BatchQueue:
        """The queue for the messages of a service, made if it is new.

        Raises :class:`ConfigurationError` when services that share a queue want different things of it,
        :class:`SpecError` on a name that looks like that of another application.
        """
        if ":" in options.queue:
            raise SpecError(f"queue {options.queue!r} of an outbox has a ':', behind which the application's id stands")
        name, wanted = options.queue + self._suffix, options.queue_options()
        known = self._wanted.setdefault(name, wanted)
        if known != wanted:
            differing = ", ".join(sorted(key for key in wanted if wanted[key] != known[key]))
            raise ConfigurationError(
                f"two services share the queue {name!r}, but not its options ({differing}): give one a queue of its own"
            )
        queue, seen = self._known.get(name, (None, 0.0))
        if queue is None or (time.monotonic() - seen > TRUSTED and not self._is_registered(name)):
            return self._open(name, wanted, session)
        return queue

    def _is_registered(self, name: str) -> bool:
        if not self._service.exists(name):
            return False
        self._know(self._service.load(name))
        return True

    def _know(self, queue: BatchQueue) -> None:
        self._known[queue.name] = queue, time.monotonic()

    def _open(self, name: str, wanted: dict[str, Any], session: Joinable | None) -> BatchQueue:
        options, database = {**wanted, "name": name}, self._service.database
        session = session if session is not None else database.current_session
        if session is None or not database.dialect.single_writer:
            queue = self._service.create(**options)
            self._know(queue)
            return queue
        # The caller may be the one writer: nobody else could make the queue, or the tables, before its commit.
        queue = self._service.create_within(session, **options)
        joined = database.orm_session(session)
        if joined is not None:
            after_commit(joined, ("outbox", name), lambda: self._know(queue))
        return queue

    @property
    def session_of_task(self) -> Session | None:
        """That of the ``ctx.transaction()`` which is open in this thread."""
        return self._service.database.current_session

    def owns(self, name: str) -> bool:
        """Whether a queue of that name belongs to this application."""
        logical, _, app_id = name.partition(":")
        return bool(logical) and app_id == self._suffix[1:]

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
        return [queue for queue in self._service.queues() if queue.spec.payload == "outbox" and self.owns(queue.name)]

    def names_of(self, queue: BatchQueue) -> tuple[str, str]:
        """Its name in the database, and as it was configured."""
        return queue.name, queue.name.removesuffix(self._suffix)

    def named(self, name: str | None) -> list[BatchQueue]:
        """The one of that name, as it was configured or as it stands in the database; None: all.

        Raises :class:`SpecError`.
        """
        found = self.standing()
        if name is None:
            return found
        chosen = [queue for queue in found if name in self.names_of(queue)]
        if not chosen:
            raise SpecError(f"the outbox has no queue {shown(name)}{nearest(str(name), [one.name for one in found])}")
        return chosen

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
