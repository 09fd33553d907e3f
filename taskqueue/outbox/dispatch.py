"""Delivering a message: what runs the items of an outbox's queues."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import clock, singles
from ..errors import PayloadError, PayloadTooNew, TaskFailed
from ..execution.context import TaskContext
from ..execution.coroutines import finished
from ..execution.failure import error_text, traceback_text
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..settings import Handler, Settings
from ..verdicts import Unrecoverable
from .context import MessageContext
from .message import CALLBACK, Message
from .target import Target

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class Dispatcher:
    """Delivers the messages of one outbox.

    Arguments:
        targets: the registered services by name.
        version: that of the application; messages for a later one are left to its workers. None: all are taken.
    """

    def __init__(self, settings: Settings, targets: Mapping[str, Target], version: int | None = None) -> None:
        self._settings = settings
        self._targets = targets
        self._version = version

    def handler(self) -> Handler:
        """What is registered for the payload of the queues."""
        return Handler(self._run, pause=self._pause, follow=self._follow, tell=self._tell)

    # --- a message in hand ---

    def _run(self, task: TaskContext, data: Any) -> Any:
        message, item = Message.of(data), task.item
        assert item is not None  # noqa: S101  (only on_end has none)
        if message.min_version is not None and self._version is not None and message.min_version > self._version:
            raise PayloadTooNew(f"the message is for version {message.min_version}, this is {self._version}")
        target = self._targets.get(message.service)
        if target is None:
            raise Unrecoverable(f"no service {message.service!r} is registered here: register it, then revive")
        if _is_expired(message, task.queue, item):
            raise Unrecoverable("expired before it could be delivered")
        context = MessageContext(message, item.uid, task)
        with self._as_user(message), context.delivering():
            value = target.deliver(context, message, partial(finished, void=_never))
            if value is False:
                raise TaskFailed("the handler returned False")
            self._complete(context, task, item, value)
        return value

    def deliver(self, message: Message, session: Session | None, message_id: str) -> Any:
        """Deliver one that stands on no queue."""
        context = MessageContext(message, message_id, session=session)
        with self._as_user(message), context.delivering():
            return self._targets[message.service].deliver(context, message, partial(finished, void=_never))

    def _as_user(self, message: Message) -> Any:
        if self._settings.switch_user is None or message.user is None:
            return nullcontext()
        return self._settings.switch_user({"user": message.user, **message.claims})

    # --- its end ---

    def _complete(self, context: MessageContext, task: TaskContext, item: QueueItem, value: Any) -> None:
        """Store, in the transaction in which the message leaves the queue, what goes with that."""
        queue = task.queue
        assert isinstance(queue, SqlBase)  # noqa: S101  (an outbox has no others)
        tx = queue.database.joined(context.session)
        if context.message.series is not None:
            singles.succeeded(tx, context.message.series)
        for new in self._callbacks(queue.name, item, context.message, ("succeeded", "done"), value):
            queue.insert_within(tx, new)
        if queue.spec.keep_result is not None:
            text = queue.pack_result(item, value)
            queue.results.add(tx, item.id, item.uid, text, clock.to_ms(queue.spec.keep_result))

    def _follow(self, item: QueueItem, exception: BaseException | None) -> Sequence[NewItem]:
        message = _read(item)
        if message is None:
            return []
        error = {"type": type(exception).__name__, "message": str(exception)}
        return list(self._callbacks(item.queue_name, item, message, ("failed", "done"), error))

    def _callbacks(
        self, queue_name: str, item: QueueItem, message: Message, outcomes: Sequence[str], value: Any
    ) -> Iterator[NewItem]:
        """News of a message for those who asked for them; of news there are none."""
        target = self._targets.get(message.service)
        if target is None or message.kind == CALLBACK:
            return
        for outcome in outcomes:
            if not target.has_callback(message.event, outcome):
                continue
            news = replace(message, kind=CALLBACK, outcome=outcome, parent=item.uid, args=[value], kwargs={},
                           expires=None, lasts=None, series=None)  # fmt: skip
            uid = os.urandom(16).hex()
            text = self._settings.codec.pack(news.to_data(), queue_name, uid, where=f"result of {message.title}")
            yield NewItem(uid, item.weight, text)

    # --- its failures ---

    def _pause(self, item: QueueItem, exception: BaseException | None) -> float | None:
        found = self._target_of(item)
        return found[0].policy(found[1]).pause(item.failures + 1) if found else None

    def _tell(self, item: QueueItem, exception: BaseException | None) -> tuple[str, str | None]:
        found = self._target_of(item)
        if found is None or found[0].options.store_last_error:
            return error_text(exception), traceback_text(exception)
        return type(exception).__name__, None

    def _target_of(self, item: QueueItem) -> tuple[Target, Message] | None:
        message = _read(item)
        target = self._targets.get(message.service) if message is not None else None
        return (target, message) if target is not None and message is not None else None


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


def _never() -> None:
    """A coroutine of a handler is not cancelled from outside: its transaction decides."""
