"""``Operations``: named calls that a client makes now, or defers and asks about later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

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
from ..spec import OPERATION_PAYLOAD, check_name, nearest, shown
from ..storage.operations import OperationRow
from . import results
from .administration import Administration
from .call import FINAL, STATES, Call
from .calls import Calls, NewCall
from .definition import Operation
from .ends import Ends
from .news import News
from .performing import Performer
from .problems import (
    CallGone,
    CallNotFound,
    NotFinished,
    NotIdempotent,
    NotPossible,
    NotQueueable,
    OperationError,
    OperationFailed,
    StillRunning,
)
from .registry import Registry
from .request import Request
from .standing import CallQueues
from .sweeper import Sweeper
from .users import LoadUser, User, Users

if TYPE_CHECKING:
    from ..queues.base import Joinable

Function = TypeVar("Function", bound=Callable[..., Any])
#: Who may be given as the one who calls: a user, their id, or None: nobody, or of a look at calls, an administrator.
Who = User | str | int | None
#: While somebody waits for the end of a call: how soon it is looked again (seconds), at first and at most.
_LOOK_FIRST, _LOOK_LAST = 0.02, 0.5
_LONGEST_KEY = 190
_ADMIN = User(is_admin=True)


class Operations(Registry):
    """The operations of an application on the database of one service.

    Arguments:
        service: workers on it execute deferred calls, once they have the same operations.
        queue: the name of the queue on which calls stand; made at first use.
        load_user: ``load_user(id)`` returns the :class:`User` of an id, or None when there is none (any more). It is
            asked when a call is made with an id, and again when it is executed. Without it whoever calls is believed,
            and a deferred call has the roles of the moment in which it was made.
        timeout: seconds (or "10m") that an operation may take without reporting.

    Raises :class:`ConfigurationError` when the service has operations already, :class:`SpecError`.
    """

    def __init__(
        self, service: QueueService, *, queue: str = "operations", load_user: LoadUser | None = None,
        timeout: float | timedelta | str = 3600,
    ) -> None:  # fmt: skip
        if not isinstance(service, QueueService):
            raise SpecError(f"Operations takes a QueueService, not {shown(service)}")
        if OPERATION_PAYLOAD in service.settings.handlers:
            raise ConfigurationError("this QueueService has operations already: one registry serves all of them")
        self.service = service
        super().__init__()
        self._users = Users(load_user)
        self._sweeper = Sweeper(service)
        self._queues = CallQueues(service, check_name(queue), seconds_of(timeout, "timeout"))
        news = News(service.settings, self._finished)
        self._ends = Ends(service, self._queues, news)
        self._calls = Calls(service, self._queues, self._ends)
        self._performer = Performer(
            service.settings, self._operations, self._users, news, self._calls.find, lambda: service.database
        )
        service.settings.handlers[OPERATION_PAYLOAD] = self._performer.handler()
        service.settings.operations = self

    @property
    def queue_service(self) -> QueueService:
        """The service on whose queues the calls stand, as that of an outbox is called."""
        return self.service

    @property
    def administration(self) -> Administration:
        """The calls of everybody, for administrators."""
        return Administration(self._calls, self._queues)

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
        row, item = self._calls.store(NewCall(operation, request, key, is_direct=True))
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
        row, text = self._calls.result(call_id)
        if row is None or row.is_over:
            raise CallGone("the time is over for which the result was kept")
        call = Call.of(row)
        if not call.is_final:
            raise StillRunning("the call with this idempotency key has not ended yet: ask again", call_id)
        return results.decoded(text) if call.state == "succeeded" else _raise(call)

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
        new = NewCall(operation, request, key, delay=wait, due=due, lasts=lasts, deadline=deadline)
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

    # --- looking ---

    def user_of(self, who: Who) -> User:
        """The user of an id, as ``load_user`` knows them; one who is not active when there is none. A :class:`User` is
        believed."""
        return self._users.of(who)

    def get(self, tracking_id: str, *, user: Who = None) -> Call:
        """A recorded call as it stands now.

        Arguments:
            user: who asks; others than its owner and administrators are told that there is none. None: not asked.

        Raises :class:`CallNotFound`, :class:`CallGone` when its time is over.
        """
        return Call.of(self._own(tracking_id, user))

    def _own(self, tracking_id: str, who: Who) -> OperationRow:
        row = self._calls.find(tracking_id) if _is_id(tracking_id) else None
        return self._visible(row, _ADMIN if who is None else self._users.of(who))

    @staticmethod
    def _visible(row: OperationRow | None, user: User) -> OperationRow:
        if row is None or not (user.is_admin or (user.is_active and user.owner == row.owner)):
            raise CallNotFound("there is no such call, or it is not yours to see")
        if row.is_over:
            raise CallGone("the time is over for which the result was kept")
        return row

    def result(self, tracking_id: str, *, user: Who = None, consume: bool = False) -> Any:
        """What a call has returned: JSON, or a :class:`File`.

        Arguments:
            consume: nobody can read it a second time.

        Raises :class:`NotFinished`; the error of a call that ended otherwise; :class:`CallNotFound`,
        :class:`CallGone`.
        """
        call = Call.of(self._own(tracking_id, user))
        if not call.is_final:
            raise NotFinished(f"the call has not ended yet, it is {call.state}")
        if call.state != "succeeded":
            return _raise(call)
        row, text = self._calls.result(tracking_id, consume=consume)
        if row is None or text is None:  # others have consumed it in this moment
            raise CallGone("the time is over for which the result was kept")
        return results.decoded(text)

    def outcome(self, tracking_id: str, *, user: Who = None, consume: bool = False) -> tuple[Call, Any]:
        """A call that has ended in whatever way, and what it has returned; an error stands in the call.

        Arguments:
            consume: exactly one gets it, then its time is over. The dead letter of a dead call stays, but reviving it
                executes nothing any more.

        Raises :class:`NotFinished`, :class:`CallNotFound`, :class:`CallGone`.
        """
        if (state := self._own(tracking_id, user).state) not in FINAL:
            raise NotFinished(f"the call has not ended yet, it is {state}")
        told = self._calls.outcome(tracking_id, consume=consume)
        if told is None:  # others have consumed it in this moment
            raise CallGone("the time is over for which the result was kept")
        return Call.of(told[0]), results.decoded(told[1])

    def wait(self, tracking_id: str, timeout: float | timedelta | str = 30, *, user: Who = None) -> Call:
        """The call when it has ended, or as it stands after ``timeout``. Raises as :meth:`get`."""
        until, pause = time.monotonic() + seconds_of(timeout, "timeout"), _LOOK_FIRST
        while True:
            call = self.get(tracking_id, user=user)
            left = until - time.monotonic()
            if call.is_final or left <= 0:
                return call
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LOOK_LAST)

    def calls(
        self, *, user: Who = None, state: str | None = None, operation: str | None = None, limit: int = 50,
        after: str | None = None,
    ) -> list[Call]:  # fmt: skip
        """Recorded calls, the newest first; of a user, their own, of an administrator or None, all.

        Arguments:
            after: the id of the last one that was seen.

        Raises :class:`SpecError`, :class:`UnknownOperation`, :class:`CallNotFound` on an unknown ``after``.
        """
        if state is not None and state not in STATES:
            raise SpecError(
                f"state must be one of {', '.join(STATES)}, not {shown(state)}{nearest(str(state), STATES)}"
            )
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise SpecError(f"limit must be a whole number of at least 1, not {shown(limit)}")
        who = _ADMIN if user is None else self._users.of(user)
        name = self.named(operation).name if operation is not None else None
        place: tuple[int, str] | None = None
        if after is not None:
            row = self._own(after, user)
            place = row.create_time, row.id
        owner = None if who.is_admin else who.owner
        return [Call.of(row) for row in self._calls.page(limit, owner, name, state, place)]

    # --- ending ---

    def cancel(self, tracking_id: str, *, user: Who = None) -> Call:
        """Take a call back that waits; one that runs is asked to stop (``ctx.should_stop``). Return it as it stands.

        Raises :class:`NotPossible` when it has ended, :class:`CallNotFound`, :class:`CallGone`.
        """
        row = self._own(tracking_id, user)
        if row.state in FINAL:
            raise NotPossible(f"the call has ended already, it is {row.state}")
        self._ends.cancel(row)
        return self.get(tracking_id, user=user)

    def forget(self, tracking_id: str, *, user: Who = None) -> None:
        """Remove a call that has ended from the record. Raises :class:`NotPossible` when it has not,
        :class:`CallNotFound`, :class:`CallGone`."""
        row = self._own(tracking_id, user)
        if row.state not in FINAL:
            raise NotPossible(f"the call has not ended yet, it is {row.state}: cancel it first")
        self._ends.forget(row)

    def retry(self, tracking_id: str, *, user: Who = None) -> Call:
        """Let a call that is dead or has failed be executed once more. Return it as it stands.

        Raises :class:`NotPossible` when it is neither, :class:`CallNotFound`, :class:`CallGone`.
        """
        row = self._own(tracking_id, user)
        if row.state not in ("dead", "failed"):
            raise NotPossible(f"only a call that is dead or has failed can be tried again; this one is {row.state}")
        self._ends.retry(row)
        return self.get(tracking_id, user=user)

    # --- executing ---

    def drain(self, *, wait: bool = True, stop: threading.Event | None = None) -> int:
        """Execute the calls that are due now, one after the other, in this thread; return how many attempts were made.

        Arguments:
            wait: also for what workers are just executing.
            stop: ends it after the call in hand, once set.
        """
        self._ends.write_down_all()
        attempts, stop = 0, stop or threading.Event()
        for queue in self._queues.standing():
            with suppress(QueueNotFound):  # somebody has just deleted it
                attempts += flush(queue, wait=wait, stop=stop)
        while not stop.is_set() and self.sweep():
            pass
        return attempts

    def sweep(self) -> bool:
        """Take away some hundred results whose time is over, once a minute at most; workers do this by themselves.

        Whether there may be more, for which it may be called again at once.
        """
        return self._sweeper.sweep()


def _raise(call: Call) -> Any:
    error = call.error or {}
    kind = OperationFailed if call.state == "failed" else OperationError
    raised = kind(str(error.get("message", "")), code=str(error.get("code", call.state)), details=error.get("details"))
    if call.state == "dead":
        raised.status = 500
    raise raised


def _moment(moment: datetime, what: str) -> int:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SpecError(f"{what} must be a datetime with a time zone, not {shown(moment)}")
    return max(clock.moment_ms(moment), 1)  # 0 is none


def _is_id(tracking_id: object) -> bool:
    return isinstance(tracking_id, str) and len(tracking_id) == 32 and set(tracking_id) <= set("0123456789abcdef")
