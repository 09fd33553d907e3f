"""The queues on which the messages of an outbox stand."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, SpecError
from ..execution.flush import flush
from ..periodic import tick
from ..queues.batch import BatchQueue
from ..registering import find_or_make
from ..service import QueueService
from ..spec import OUTBOX_PAYLOAD, check_name, nearest, shown
from .options import ServiceOptions, refuse_unequal
from .target import Target

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ..queues.base import Joinable

_log = logging.getLogger(__name__)
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
        #: The first service that used a queue, by the name of that, and its options.
        self._first: dict[str, tuple[str, ServiceOptions]] = {}
        #: The queues of which it was told that they are of another type than is said.
        self._told: set[str] = set()
        #: The queues that were seen to be registered, and when (monotonic seconds).
        self._known: dict[str, tuple[BatchQueue, float]] = {}

    def of(self, target: Target, session: Joinable | None) -> BatchQueue:
        """The queue for the messages of a service, made if it is new.

        Raises :class:`ConfigurationError` when services that share a queue want different things of it, or when it is
        no queue of an outbox; :class:`SpecError` on a name that looks like that of another application.
        """
        name = self._name(target)
        first, options = self._first.setdefault(name, (target.name, target.options))
        if first != target.name:
            refuse_unequal(target.name, target.options, first, options)
        queue, seen = self._known.get(name, (None, 0.0))
        if queue is None or (time.monotonic() - seen > TRUSTED and not self._is_registered(name)):
            return self._open(name, target, session)
        return queue

    def prepare(self, target: Target) -> None:
        """Make the queue of a service if it is new, and let it have the options that are said now.

        Raises :class:`ConfigurationError` also when that is impossible.
        """
        name = self._name(target)
        self._known.pop(name, None)
        if self._service.exists(name):
            queue = self._service.load(name)
            _refuse_stranger(queue, target)
            problem = _other_type(queue, target)
            if problem is not None:
                raise ConfigurationError(problem)
        self.of(target, None)

    def _name(self, target: Target) -> str:
        name = target.options.queue
        if ":" in name:
            raise SpecError(f"queue {name!r} of an outbox has a ':', behind which the application's id stands")
        return name + self._suffix

    def _is_registered(self, name: str) -> bool:
        if not self._service.exists(name):
            return False
        self._know(self._service.load(name))
        return True

    def _know(self, queue: BatchQueue) -> None:
        self._known[queue.name] = queue, time.monotonic()

    def _open(self, name: str, target: Target, session: Joinable | None) -> BatchQueue:
        options = {**target.options.queue_options(), "name": name}
        queue = find_or_make(self._service, session, partial(self._adopt, target=target), **options)
        _refuse_stranger(queue, target)
        return queue

    def _adopt(self, queue: BatchQueue, target: Target) -> None:
        """Let a queue have the options that this process says of it: who comes last is right."""
        _refuse_stranger(queue, target)
        problem = _other_type(queue, target)
        if problem is not None and queue.name not in self._told:
            self._told.add(queue.name)
            _log.error("%s", problem)  # nothing is lost so: the order is that of the queue as it stands
        wanted = target.options.changeable_options()
        differing = {key: value for key, value in wanted.items() if getattr(queue.spec, key) != value}
        if differing:
            queue.update(**differing)
        self._know(queue)

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
        return [
            queue for queue in self._service.queues() if queue.spec.payload == OUTBOX_PAYLOAD and self.owns(queue.name)
        ]

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
        """Deliver what is due now; return how many attempts were made.

        Arguments:
            wait: also for what others are just delivering.
        """
        tick(self._service)
        return flush(queue, wait=wait)


def _refuse_stranger(queue: BatchQueue, target: Target) -> None:
    if queue.spec.payload != OUTBOX_PAYLOAD:
        raise ConfigurationError(
            f"the queue {queue.name!r} of service {target.name!r} exists, and is none of an outbox: give the service "
            "one of another name (option queue)"
        )


def _other_type(queue: BatchQueue, target: Target) -> str | None:
    """Why the order of a queue cannot be what a service says; None: it is that."""
    if queue.spec.type == target.options.queue_options()["type"]:
        return None
    said, name = target.options.parallel, queue.name
    return (
        f"service {target.name!r} says parallel={said}, but its queue {name!r} was made with parallel={not said}: "
        "let the workers empty that, see to its dead messages, and delete it (taskqueue delete "
        f"{name}), or give the service a queue of another name (option queue)"
    )
