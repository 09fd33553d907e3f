"""What is called for an item: the callback of its task, or the handler of its payload."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import CallbackRefused, ConfigurationError, TaskFailed
from ..item import QueueItem
from ..queues.batch import BatchQueue
from ..settings import Handler
from ..spec import CHANNEL_PAYLOAD, OUTBOX_PAYLOAD, TASK_PAYLOAD
from ..task import Task
from .context import TaskContext
from .coroutines import Void, finished


class Call(NamedTuple):
    """A function of the user's, with all that it gets; checked, and about to be called."""

    function: Callable[..., Any]
    #: The first argument: one context, or those of a batch.
    context: TaskContext | Sequence[TaskContext]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})
    #: The name by which another process finds the function; None: it is asked for its name.
    name: str | None = None
    #: Entered around the call.
    user: AbstractContextManager[Any] | None = None
    #: Whether anybody wants to know what the call returns.
    is_answer_kept: bool = False


#: Makes a call, and gives up when it becomes void.
Engine = Callable[[Call, Void], Any]


def call_here(call: Call, void: Void) -> Any:
    """Make the call in this thread. What it sets in context variables ends with it."""
    return contextvars.copy_context().run(_call, call, void)


def _call(call: Call, void: Void) -> Any:
    if call.user is None:
        value = call.function(call.context, *call.args, **call.kwargs)
        return None if value is None else finished(value, void)
    with call.user:
        return finished(call.function(call.context, *call.args, **call.kwargs), void)


class Calls:
    """Finds what the items of one queue call.

    Raises :class:`ConfigurationError` when nobody in this process can run the queue's payload.
    """

    def __init__(self, queue: BatchQueue, *, by_executor: bool = False) -> None:
        check_handler(queue, by_executor=by_executor)
        self._queue = queue
        self.handler: Handler | None = queue.settings.handlers.get(_payload(queue))
        #: Whether one call takes many items.
        self.is_batch = self.handler is not None and self.handler.is_batch

    @property
    def size(self) -> int:
        """How many items one call takes at most."""
        return self._queue.spec.batch_limit if self.is_batch else 1

    def of(self, item: QueueItem, context: TaskContext) -> Call:
        """The call for one item.

        Raises :class:`PayloadError`, :class:`CallbackRefused`, and whatever the identity hook raises.
        """
        data, keep = item.data, self._queue.spec.keep_result is not None
        if self.handler is not None:
            return Call(self.handler.function, context, (data,), is_answer_kept=keep)
        if not isinstance(data, Task):
            raise CallbackRefused(
                "the item is plain data, not a Task: consume it with claim_item(), or give the queue a payload handler"
            )
        callback = self._queue.settings.allow.load(data.callback)
        user = self._user(data.run_as) if data.run_as is not None else None
        return Call(callback, context, data.args, data.kwargs, data.callback, user, keep)

    def of_batch(self, items: Sequence[QueueItem], contexts: Sequence[TaskContext]) -> Call:
        """The call for many items, whose data can be read."""
        assert self.handler is not None  # noqa: S101  (only asked when is_batch)
        return Call(self.handler.function, contexts, ([item.data for item in items],), is_answer_kept=True)

    def _user(self, run_as: Mapping[str, Any]) -> AbstractContextManager[Any] | None:
        settings = self._queue.settings
        if settings.identity is None and settings.switch_user is None:
            raise ConfigurationError(
                "the task has run_as, but the service has neither identity= to check it nor switch_user= to obey it"
            )
        if settings.identity is not None and settings.identity(run_as) is False:
            raise TaskFailed(f"the identity hook refused to run the task as {run_as!r}")
        return settings.switch_user(run_as) if settings.switch_user is not None else None


def check_handler(queue: BatchQueue, *, by_executor: bool = False) -> None:
    """Raise :class:`ConfigurationError` when nobody in this process can run the queue's payload.

    Arguments:
        by_executor: whether an executor is to make the calls.
    """
    payload = _payload(queue)
    if payload == TASK_PAYLOAD:
        return
    handler = queue.settings.handlers.get(payload)
    if handler is None:
        how = f"register one with @service.handler({payload!r})"
        if payload == OUTBOX_PAYLOAD:
            how = "the module that makes the QueueService (which --app names) must make, or import, its Outbox"
        elif payload == CHANNEL_PAYLOAD:
            how = "messages of a channel are taken by their consumers, with Channels(service).get() or receive()"
        raise ConfigurationError(
            f"queue {queue.name!r} has payload {payload!r}, for which no handler is registered here: {how}"
        )
    if by_executor and handler.needs_transaction:
        raise ConfigurationError(
            f"queue {queue.name!r} has payload {payload!r}, whose handler works in a transaction of this process and "
            "cannot be called by an executor: serve this queue with threads"
        )


def _payload(queue: BatchQueue) -> str:
    return queue.spec.payload or TASK_PAYLOAD
