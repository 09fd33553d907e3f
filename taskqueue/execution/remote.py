"""Letting an executor make the calls, in other processes or on other hosts.

The queue stays the source of truth: the thread that submits a call waits for its end, holds the lease meanwhile and
settles the item. What runs elsewhere gets a small context and no connection to the queue.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from .. import callbacks, spans
from ..errors import ExecutorLost, NotSupported, TaskFailed
from ..interrupts import let_interrupt_pass
from ..settings import Handler
from ..verdicts import Later
from .calls import Call
from .context import TaskContext, TaskLog, task_log
from .coroutines import LOOK_EVERY, Void, finished
from .failure import RemoteTraceback, error_text, traceback_text

_log = logging.getLogger(__name__)
#: Seconds for which an item is put back when the executor takes no calls.
_BROKEN_PAUSE = 10.0
#: By name, because neither package need be installed: how engines say that a process of theirs was lost.
_LOSSES = ("KilledWorker", "CommClosedError", "FutureCancelledError", "FuturesCancelledError", "WorkerCrashedError")


@dataclass(frozen=True)
class RemoteContext:
    """The first argument of a callback that an executor calls."""

    queue_name: str
    item_id: int
    title: str
    #: 1 for the first attempt; failures count, lost workers do not.
    attempt: int
    #: Nobody can tell a process elsewhere to stop.
    should_stop: bool = False

    @cached_property
    def log(self) -> TaskLog:
        """A logger of the process that makes the call, whose lines name queue, item and attempt."""
        return task_log(self.queue_name, self.item_id, self.attempt)

    def report(self, done: float, total: float | None = None, message: str = "") -> None:
        """Does nothing here: nobody who watches can be reached."""

    def heartbeat(self) -> None:
        """Does nothing here: ``lease_time`` bounds the whole call."""

    def transaction(self) -> NoReturn:
        """Raises :class:`NotSupported`."""
        raise NotSupported("ctx.transaction() is not to be had in an executor: only threads of the worker have it")

    def outcome_of(self, item_id: int) -> NoReturn:
        """Raises :class:`NotSupported`."""
        raise NotSupported("ctx.outcome_of() is not to be had in an executor: only threads of the worker have it")

    @property
    def queue(self) -> NoReturn:
        """Raises :class:`NotSupported`."""
        raise NotSupported(
            "ctx.queue is not to be had in an executor, where only queue_name is known: load the queue with a service "
            "of your own, or serve this queue with threads"
        )


@dataclass(frozen=True)
class Answer:
    """How a call elsewhere has ended."""

    value: Any = None
    exception: BaseException | None = None
    traceback: str | None = None


# --- there ---


def call_there(
    name: str, context: RemoteContext | list[RemoteContext], args: Sequence[Any], kwargs: Mapping[str, Any],
    is_answer_kept: bool, trace: spans.Trace | None = None,
) -> Answer:  # fmt: skip
    """Make the call; runs in a process of the executor. Who submitted it has checked that ``name`` may run."""
    try:
        function = callbacks.resolve(name)
        with spans.continued(trace):
            value = finished(function(context, *args, **kwargs), lambda: None)
    except BaseException as error:
        let_interrupt_pass(error)
        trace = traceback_text(error)
        return Answer(None, _portable(error), trace)
    # What nobody wants to know need not survive the way.
    return Answer(value if is_answer_kept or value is False else None)


def _portable(error: BaseException) -> BaseException:
    """``error``, or its text where it cannot travel."""
    try:
        error.__traceback__ = error.__cause__ = error.__context__ = None
        pickle.loads(pickle.dumps(error))  # noqa: S301  (of our own making a moment ago)
        return error
    except Exception:
        return TaskFailed(error_text(error))


# --- here ---


class Remote:
    """Hands calls to an executor and waits for them.

    Raises :class:`CallbackError` when another process cannot find ``handler`` by its name.
    """

    def __init__(self, executor: Executor, handler: Handler | None = None) -> None:
        self._executor = executor
        self._handler = callbacks.name_of(handler.function) if handler is not None else None

    def __call__(self, call: Call, void: Void) -> Any:
        """Make the call elsewhere, until it becomes void.

        Raises what the call has raised; :class:`ExecutorLost` when its process was lost, :class:`Later` when the
        executor takes no calls.
        """
        if call.user is not None:
            raise NotSupported("a task with run_as is not handed to an executor: switch_user works in this process")
        future = self._submit(call)
        try:
            answer = self._answer(future, void)
        finally:
            future.cancel()
        if answer.exception is not None:
            raise answer.exception from (RemoteTraceback(answer.traceback) if answer.traceback else None)
        return answer.value

    def _submit(self, call: Call) -> Future[Answer]:
        name = call.name or self._handler
        assert name is not None  # noqa: S101  (tasks have a name, and handlers were given one)
        trace = spans.carried()
        try:
            return self._executor.submit(
                call_there, name, _portable_context(call.context), list(call.args), dict(call.kwargs),
                call.is_answer_kept, *([trace] if trace is not None else ()),
            )  # fmt: skip
        except Exception as error:
            if not isinstance(error, RuntimeError) and not _is_loss(error):
                raise  # what was to be handed over cannot be
            _log.error("the executor takes no calls: %s", error)
            raise Later(_BROKEN_PAUSE, f"the executor takes no calls: {error}") from error

    def _answer(self, future: Future[Answer], void: Void) -> Answer:
        while not wait([future], LOOK_EVERY).done:
            if (reason := void()) is not None:
                raise reason
        try:
            return future.result()
        except BaseException as error:  # whatever the call itself raises comes as an answer
            if _is_loss(error):
                raise ExecutorLost(f"the process that executed the task was lost: {error_text(error)}") from error
            raise TaskFailed(f"the executor could not make the call: {error_text(error)}") from error


def _portable_context(context: TaskContext | Sequence[TaskContext]) -> RemoteContext | list[RemoteContext]:
    if isinstance(context, TaskContext):
        assert context.item is not None  # noqa: S101  (only on_end has none, and is not called here)
        return RemoteContext(context.queue.name, context.item.id, context.item.title, context.attempt)
    return [_portable_context(one) for one in context]  # type: ignore[misc]


def _is_loss(error: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # Ctrl-C in a terminal reaches the processes of an executor, too.
    return isinstance(error, (BrokenExecutor, CancelledError, KeyboardInterrupt)) or not kinds.isdisjoint(_LOSSES)
