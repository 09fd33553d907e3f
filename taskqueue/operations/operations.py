"""``Operations``: named calls that are made now, or deferred and made by a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .. import clock
from ..durations import seconds_of
from ..errors import ConfigurationError, NotSupported, QueueNotFound, SpecError
from ..execution.attempt import Execution
from ..execution.flush import flush
from ..execution.holding import Holding
from ..item import QueueItem
from ..queues.arguments import delay_ms
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..spec import OPERATION_PAYLOAD, check_name, shown
from .call import Call
from .calls import NewCall
from .definition import Operation
from .performing import Performer
from .problems import CallGone, CallNotFound, NotFinished, NotIdempotent, NotQueueable, OperationError, StillRunning
from .recorded import GONE, RecordedCalls, Who
from .request import Request
from .standing import CallQueues
from .sweeper import Sweeper
from .users import LoadUser, Users

if TYPE_CHECKING:
    from ..queues.base import Joinable

_LONGEST_KEY = 190


class Operations(RecordedCalls):
    """The operations of an application on the database of one service.

    Arguments:
        service: workers on it execute deferred calls, once they have the same operations.
        queue: the name of the queue on which calls stand; made at first use.
        load_user: ``load_user(id)`` returns the :class:`User` of an id, or None when there is none (any more). It is
            asked when a call is made with an id, and again when it is executed. Without it whoever calls is believed,
            and a deferred call has the roles of the moment in which it was made.
        timeout: seconds (or "10m") that an operation may take without reporting.
        former_queues: names that ``queue`` had before: the calls that still stand there are executed, too. Those on any
            other queue are another application's, and left alone.

    Raises :class:`ConfigurationError` when the service has operations already, :class:`SpecError`.
    """

    def __init__(
        self, service: QueueService, *, queue: str = "operations", load_user: LoadUser | None = None,
        timeout: float | timedelta | str = 3600, former_queues: Iterable[str] = (),
    ) -> None:  # fmt: skip
        if not isinstance(service, QueueService):
            raise SpecError(f"Operations takes a QueueService, not {shown(service)}")
        if OPERATION_PAYLOAD in service.settings.handlers:
            raise ConfigurationError("this QueueService has operations already: one registry serves all of them")
        self.service = service
        queues = CallQueues(service, check_name(queue), seconds_of(timeout, "timeout"), former_queues)
        super().__init__(service, queues, Users(load_user))
        self._sweeper = Sweeper(service)
        self._performer = Performer(
            service.settings, self.registered, self._users, self._news, self._calls.find, lambda: service.database
        )
        service.settings.handlers[OPERATION_PAYLOAD] = self._performer.handler(self._queues.owns)
        service.settings.operations = self

    @property
    def queue_service(self) -> QueueService:
        """The service on whose queues the calls stand, as that of an outbox is called."""
        return self.service

    # --- calling ---

    def call(self, name: str, data: Any = None, *, user: Who = None, key: str | None = None) -> Any:
        """Execute an operation now; return its result, as JSON has it, or a :class:`File`.

        Called by another operation, or inside ``ctx.transaction()``, it is a part of that: its ``ctx.session`` is the
        same one, and what it wrote is committed, or rolled back, with the rest.

        Arguments:
            key: an idempotency key: the same operation, user and key give the result of the first call. Such a call is
                on record, in a transaction of its own: when this process dies a worker brings it to its end.

        Raises :class:`OperationError` (what the operation says itself, and the kinds beside it), or whatever the
        operation raises: with a key, as the cause of an :class:`OperationError`; :class:`NotSupported` with a key while
        ``ctx.session`` or ``ctx.transaction()`` is open.
        """
        operation, request = self._prepared(name, data, user)
        if key is None:
            return self._performer.perform_now(operation, request)
        self._check_key(operation, key)
        if self.service.database.current_session is not None:
            raise NotSupported(
                "a call with an idempotency key is a transaction of its own: make it before ctx.session is used or "
                "after ctx.transaction(), leave the key out, or defer it"
            )
        operation.admit(request.user, request.data)
        row, item = self._calls.store(NewCall(operation, request, key, self.aliases_of(operation.name), is_direct=True))
        queue = self._queues.present()
        if item is None and row.is_direct:
            queue, item = self._calls.take(row)
        cause = self._execute(item, queue) if item is not None else None
        try:
            return self._answer(row.id)
        except OperationError as error:
            if cause is None:
                raise
            raise error from cause

    def _execute(self, item: QueueItem, queue: SqlBase) -> BaseException | None:
        with queue.hold(), Holding(queue) as holding:
            holding.adopt([item])
            return Execution(holding).run(item).exception

    def _answer(self, call_id: str) -> Any:
        try:
            return self.result(call_id)
        except NotFinished:
            raise StillRunning("the call with this idempotency key has not ended yet: ask again", call_id) from None
        except CallNotFound:  # somebody has just forgotten it
            raise CallGone(GONE) from None

    def defer(
        self, name: str, data: Any = None, *, user: Who = None, delay: float | timedelta | str | None = None,
        release_time: datetime | None = None, expires: float | timedelta | str | datetime | None = None,
        key: str | None = None, session: Joinable | None = None,
    ) -> Call:  # fmt: skip
        """Record a call that a worker executes; return it, with its tracking id.

        Arguments:
            delay: seconds, a timedelta or a text as "10m" until it is due; or
            release_time: the moment, an aware datetime. Not both.
            expires: it is not begun after this moment, or so long from now.
            key: an idempotency key: the same operation, user and key give the same call.
            session: the SQLAlchemy Session or Connection in whose transaction it is recorded.

        Raises :class:`NotQueueable`, :class:`InvalidData`, :class:`AccessDenied`, :class:`TooManyCalls`,
        :class:`KeyReused` and other :class:`OperationError`; :class:`SpecError`, :class:`SerializationError`.
        """
        operation = self.named(name)
        if not operation.queueable:
            raise NotQueueable(f"{operation.name} cannot be deferred: call it without that option")
        operation, request = self._prepared(name, data, user)
        operation.admit(request.user, request.data)
        if key is not None:
            self._check_key(operation, key)
        if delay is not None and release_time is not None:
            raise SpecError("give delay or release_time, not both")
        wait = delay_ms(seconds_of(delay, "delay"), "delay") if delay is not None else 0
        due = _moment(release_time, "release_time") if release_time is not None else None
        deadline = _moment(expires, "expires") if isinstance(expires, datetime) else None
        lasts = 0
        if expires is not None and not isinstance(expires, datetime):
            lasts = max(delay_ms(seconds_of(expires, "expires"), "expires"), 1)  # 0 is none
        names = self.aliases_of(operation.name)
        new = NewCall(operation, request, key, names, delay=wait, due=due, lasts=lasts, deadline=deadline)
        return Call.of(self._calls.store(new, session)[0])

    def _prepared(self, name: str, data: Any, user: Who) -> tuple[Operation, Request]:
        operation, caller = self.named(name), self._users.of(user)
        return operation, Request(operation.plain(data), caller)

    def _check_key(self, operation: Operation, key: str) -> None:
        if not operation.idempotent:
            raise NotIdempotent(f"{operation.name} takes no idempotency key: call it without one")
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY or not key.isprintable() or key != key.strip():
            raise SpecError(
                f"an idempotency key is a text of 1 to {_LONGEST_KEY} printable characters without blanks around it, "
                f"not {shown(key)}"
            )

    # --- executing ---

    def drain(self, *, wait: bool = True, stop: threading.Event | None = None) -> int:
        """Execute the calls that are due now, one after the other, in this thread; return how many attempts were made.

        Arguments:
            wait: also for what workers are just executing.
            stop: ends it after the call in hand, once set.
        """
        self.end_strays()
        attempts, stop = 0, stop or threading.Event()
        for queue in self._queues.standing():
            with suppress(QueueNotFound):  # somebody has just deleted it
                attempts += flush(queue, wait=wait, stop=stop)
        while not stop.is_set() and self.sweep():
            pass
        return attempts

    def end_strays(self) -> int:
        """Write down the ends of calls whose items were taken from their queue (reset, skipped, deleted); how many.

        :meth:`drain` and :meth:`QueueService.prune` do this, and whoever looks at such a call.
        """
        return self._ends.end_strays()

    def sweep(self) -> bool:
        """Take away some hundred results whose time is over, once a minute at most; workers do this by themselves.

        Whether there may be more, for which it may be called again at once.
        """
        return self._sweeper.sweep()


def _moment(moment: datetime, what: str) -> int:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SpecError(f"{what} must be a datetime with a time zone, not {shown(moment)}")
    return max(clock.moment_ms(moment), 1)  # 0 is none
