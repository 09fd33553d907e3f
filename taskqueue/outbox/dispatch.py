"""Delivering a message: what runs the items of an outbox's queues."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy.orm import Session, scoped_session

from .. import clock, singles, spans
from ..errors import NotSupported, PayloadError, PayloadTooNew, SerializationError, TaskFailed, TaskTimeout
from ..execution.context import TaskContext
from ..execution.coroutines import finished
from ..execution.failure import error_text, message_of, traceback_text
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..settings import Handler, Settings
from ..storage.database import Joinable
from ..verdicts import Unrecoverable
from .context import MessageContext, OpenSession, current_message
from .message import CALLBACK, Message
from .target import Target

#: So much of an error is told to those who asked what became of a message.
_LONGEST = 20_000


class Dispatcher:
    """Delivers the messages of one outbox.

    Arguments:
        targets: the registered services by name.
        open_session: opens a session for a message that stands on no queue.
        version: that of the application; messages for a later one are left to its workers. None: all are taken.
        tenant: the one in whose database the messages stand.
    """

    def __init__(
        self, settings: Settings, targets: Mapping[str, Target], open_session: OpenSession, version: int | None = None,
        tenant: str | None = None,
    ) -> None:  # fmt: skip
        self.tenant = tenant
        self._settings = settings
        self._targets = targets
        self._open_session = open_session
        self._version = version

    def handler(self) -> Handler:
        """What is registered for the payload of the queues."""
        return Handler(self._run, pause=self._pause, follow=self._follow, tell=self._tell, needs_transaction=True)

    # --- a message in hand ---

    def _run(self, task: TaskContext, data: Any) -> Any:
        message, item = Message.of(data), task.item
        assert item is not None  # noqa: S101  (only on_end has none)
        if message.min_version is not None and self._version is not None and message.min_version > self._version:
            raise PayloadTooNew(f"the message is for version {message.min_version}, this is {self._version}")
        target = self._targets.get(message.service)
        if target is None:
            raise Unrecoverable(f"no service {message.service!r} is registered here: register it, then revive")
        if message.tenant != self.tenant:  # a copied database, or a row that somebody has altered
            raise Unrecoverable(f"the message is of tenant {message.tenant!r}, this database of {self.tenant!r}")
        if _is_expired(message, task.queue, item):
            raise Unrecoverable("expired before it could be delivered")
        context = MessageContext(message, item.uid, self, task.transaction, task)
        with self._as_user(message), context.delivering():
            value = target.deliver(context, message, partial(finished, void=partial(_void, task, message)))
            self._complete(context, task, item, value)
        return value

    def deliver(self, message: Message, message_id: str, session: Joinable | None) -> Any:
        """Deliver one that stands on no queue, in the session of the caller, else in one of its own."""
        opened = self._open_session if session is None else partial(_joining, session)
        context = MessageContext(message, message_id, self, opened)
        with self._as_user(message), context.delivering():
            return self._targets[message.service].deliver(context, message, partial(finished, void=lambda: None))

    def check(self, message: Message, message_id: str) -> None:
        """Refuse what could not be stored. Raises :class:`SerializationError`."""
        self._settings.codec.pack(message.to_data(), message.service, message_id)

    def refuse_inside(self) -> None:
        """Raise :class:`NotSupported` in a handler: to wait for what is under way, it would wait for itself."""
        in_hand = current_message()
        if in_hand is not None and in_hand.owner is self:
            raise NotSupported(
                "flush() inside a handler would wait for the message of this handler: what a handler records is "
                "delivered after it, by the worker or the flush() that called it"
            )

    def _as_user(self, message: Message) -> AbstractContextManager[Any]:
        if message.user is None:
            return nullcontext()
        run_as = {**message.claims, "user": message.user}
        if self._settings.identity is not None and self._settings.identity(run_as) is False:
            raise TaskFailed(f"the identity hook refused to deliver the message for user {message.user!r}")
        return self._settings.switch_user(run_as) if self._settings.switch_user is not None else nullcontext()

    # --- its end ---

    def _complete(self, context: MessageContext, task: TaskContext, item: QueueItem, value: Any) -> None:
        """Store what goes with the end of a message in the transaction in which it leaves the queue.

        Where there is nothing of that kind, no transaction is opened for it.
        """
        queue, message = task.queue, context.message
        assert isinstance(queue, SqlBase)  # noqa: S101  (an outbox has no others)
        try:
            news = list(self._news(queue.name, item, message, ("succeeded", "done"), value))
            result = queue.pack_result(item, value) if queue.spec.keep_result is not None else None
        except SerializationError as error:
            raise Unrecoverable(f"what the handler of {message.title} returned cannot be stored: {error}") from error
        if not news and result is None and message.series is None and not task.is_open:
            return
        tx = queue.database.joined(context.session)
        if message.series is not None:
            singles.succeeded(tx, message.series)
        for new in news:
            queue.insert_within(tx, new)
        if result is not None:
            queue.results.add(tx, item.id, item.uid, result, clock.to_ms(queue.spec.keep_result or 0.0))
            task.is_result_kept = True

    def _follow(self, item: QueueItem, exception: BaseException | None) -> Sequence[NewItem]:
        message = _read(item)
        if message is None:
            return []
        told = message_of(exception)[:_LONGEST] if self._tells(message) else ""
        error = {"type": type(exception).__name__, "message": told}
        try:
            return list(self._news(item.queue_name, item, message, ("failed", "done"), error))
        except SerializationError:  # larger than an item may be, with what the message brings along
            return list(self._news(item.queue_name, item, message, ("failed", "done"), {**error, "message": ""}))

    def _news(
        self, queue_name: str, item: QueueItem, message: Message, outcomes: Sequence[str], value: Any
    ) -> Iterator[NewItem]:
        """What became of a message, for those who asked for that; what becomes of news is told to nobody."""
        target = self._targets.get(message.service)
        if target is None or message.kind == CALLBACK:
            return
        for outcome in outcomes:
            if not target.has_callback(message.event, outcome):
                continue
            news = replace(message, kind=CALLBACK, outcome=outcome, parent=item.uid, args=[value], kwargs={},
                           expires=None, lasts=None, series=None)  # fmt: skip
            uid = os.urandom(16).hex()
            text = self._settings.codec.pack(
                news.to_data(), queue_name, uid, where=f"result of {message.title}", trace=spans.carried()
            )
            yield NewItem(uid, item.weight, text)

    # --- its failures ---

    def told(self, message: Message, exception: BaseException | None) -> tuple[str, str | None]:
        """What may be written down of a failure: its text, and its traceback or None."""
        if self._tells(message):
            return error_text(exception), traceback_text(exception)
        return type(exception).__name__, None

    def _tells(self, message: Message) -> bool:
        target = self._targets.get(message.service)
        return target is None or target.options.store_last_error

    def _tell(self, item: QueueItem, exception: BaseException | None) -> tuple[str, str | None]:
        message = _read(item)
        return self.told(message, exception) if message else (error_text(exception), traceback_text(exception))

    def _pause(self, item: QueueItem, exception: BaseException | None) -> float | None:
        message = _read(item)
        target = self._targets.get(message.service) if message is not None else None
        return target.policy(message).pause(item.failures + 1) if target and message else None


def _read(item: QueueItem) -> Message | None:
    try:
        return Message.of(item.data)
    except PayloadError:
        return None


def _is_expired(message: Message, queue: BatchQueue, item: QueueItem) -> bool:
    expires = message.expires
    if message.lasts is not None:
        expires = clock.moment_ms(item.submit_time) + message.lasts
    if expires is None or not isinstance(queue, SqlBase):
        return False
    return queue.database.statement(partial(queue.rows.until, moment=expires), write=False) <= 0


def _void(task: TaskContext, message: Message) -> Exception | None:
    """Why a coroutine need not go on. A run of a schedule does, when that was removed meanwhile."""
    if not (task.is_late if message.series is not None else task.is_void):
        return None
    return TaskTimeout("the handler took longer than its timeout without reporting, or others have the message now")


@contextmanager
def _joining(joinable: Joinable) -> Iterator[Session]:
    """A session in the caller's own transaction, which only the caller ends."""
    if isinstance(joinable, scoped_session):
        yield joinable()
        return
    if isinstance(joinable, Session):
        yield joinable
        return
    if not joinable.in_transaction():
        joinable.begin()  # else the session would begin, and end, one of its own
    with Session(joinable, join_transaction_mode="rollback_only") as session:
        yield session
        session.commit()  # of what it has; not of the connection
