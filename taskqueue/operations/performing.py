"""Executing a call that stands on a queue, and what becomes of it: what runs the items of the payload "operation"."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from ..errors import PayloadError, SerializationError, TaskTimeout
from ..execution.context import TaskContext
from ..execution.coroutines import finished
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..settings import Handler, Settings
from ..storage import operations as stored
from ..storage.operations import RequestRow
from ..verdicts import Unrecoverable
from . import results
from .call import Call
from .context import OpenSession, OperationContext
from .definition import USUAL_RETRY, Operation
from .problems import AccessDenied, OperationError
from .progress import Reports
from .request import Request
from .users import User, Users

#: ``function(call)`` is told of each call that has ended.
Finished = Callable[[Call], Any]


class Performer:
    """Executes calls.

    Arguments:
        operations: the registered ones by name.
        finished: who is told of the ends of calls.
        open_session: opens a session for a call that stands on no queue.
    """

    def __init__(
        self, settings: Settings, operations: Mapping[str, Operation], users: Users, finished: Sequence[Finished],
        open_session: OpenSession,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._operations = operations
        self._users = users
        self._finished = finished
        self._open_session = open_session

    def handler(self) -> Handler:
        """What is registered for the payload of the queue."""
        return Handler(self._run, pause=self._pause, follow=self._follow, needs_transaction=True)

    # --- without a queue ---

    def perform_now(self, operation: Operation, request: Request) -> Any:
        """Execute a call for whoever waits for its answer; return the result."""
        context = OperationContext(operation.name, request.user, self._open_session)
        return self._perform(operation, request, context, lambda: None, lambda value: None)

    def _perform(
        self, operation: Operation, request: Request, context: OperationContext,
        void: Callable[[], Exception | None], complete: Callable[[Any], None],
    ) -> Any:  # fmt: skip
        """Call the operation as the user; ``complete(value)`` joins its transaction."""
        data = operation.admit(context.user, request.data)
        with self._as_user(context.user), context.performing():
            value = results.plain(finished(operation.function(context, data), void))
            complete(value)
        return value

    def _as_user(self, user: User) -> AbstractContextManager[Any]:
        if user.id is None:
            return nullcontext()
        settings, run_as = self._settings, user.run_as
        if settings.identity is not None and settings.identity(run_as) is False:
            raise AccessDenied("the identity hook refused this user")
        return settings.switch_user(run_as) if settings.switch_user is not None else nullcontext()

    # --- an item in hand ---

    def _run(self, task: TaskContext, data: Any) -> Any:
        item, queue = task.item, task.queue
        assert item is not None and isinstance(queue, SqlBase)  # noqa: S101  (they stand on no other queues)
        told = _part(data, "finished")
        if told is not None:
            return self._tell(queue, told)
        row = queue.database.statement(partial(stored.request, call_id=item.uid), write=False)
        if row is None or row.end_time:
            raise Unrecoverable("there is no such call on record, or it has ended: nothing was executed")
        try:
            self._perform_item(task, item, queue, row)
        except OperationError as error:
            self._end(task, item, queue, "failed", error)
        return None

    def _perform_item(self, task: TaskContext, item: QueueItem, queue: SqlBase, row: RequestRow) -> None:
        if row.left is not None and row.left <= 0:
            return self._end(task, item, queue, "expired", None)
        operation = self._operations.get(row.name)
        if operation is None:
            raise Unrecoverable(f"no operation {row.name!r} is registered here: register it, then revive")
        if item.interruptions and operation.on_lost == "dead":
            raise Unrecoverable("its worker was lost in mid-operation, and the operation says on_lost='dead'")
        request = Request.of(self._settings.codec.unpack(row.request, queue.name, item.uid))
        user = self._users.again(request.user)
        reports = Reports(queue, item)
        context = OperationContext(operation.name, user, task.completing, item.uid, task, reports)

        def complete(value: Any) -> None:
            try:
                text = results.encoded(value)
            except SerializationError as error:
                raise Unrecoverable(f"what {operation.name} returned cannot be stored: {error}") from error
            self._write_end(task, item, queue, context, "succeeded", result=text)

        with reports:
            self._perform(operation, request, context, partial(_void, task), complete)
        return None

    def _write_end(
        self, task: TaskContext, item: QueueItem, queue: SqlBase, context: OperationContext, state: str, **how: Any
    ) -> None:
        tx = queue.database.joined(context.session)
        begun = item.failures + item.interruptions + (state != "expired")
        stored.end(tx, item.uid, state, attempts=begun, **how)
        for news in self._news(item, queue.name):
            queue.insert_within(tx, news)

    def _end(
        self, task: TaskContext, item: QueueItem, queue: SqlBase, state: str, error: OperationError | None
    ) -> None:
        """The call has ended without a result; what it wrote was rolled back."""
        text = _error_text(error) if error is not None else None
        context = OperationContext("", User(), task.completing, item.uid, task)
        with context.performing():
            self._write_end(task, item, queue, context, state, error=text)
        task.is_completed = True

    # --- those who are told ---

    def _news(self, item: QueueItem, queue_name: str) -> list[NewItem]:
        if not self._finished:
            return []
        uid = os.urandom(16).hex()
        return [NewItem(uid, item.weight, self._settings.codec.pack({"finished": item.uid}, queue_name, uid))]

    def _tell(self, queue: SqlBase, call_id: str) -> None:
        row = queue.database.statement(partial(stored.find, call_id=call_id), write=False)
        if row is not None:
            for function in self._finished:
                function(Call.of(row))

    # --- failures ---

    def _pause(self, item: QueueItem, exception: BaseException | None) -> float | None:
        try:
            data = item.data
        except PayloadError:
            return None
        if _part(data, "direct") is not None:  # somebody waits for the answer: it is for them to try again
            return None
        operation = self._operations.get(_part(data, "operation") or "")
        return (operation.retry if operation is not None else USUAL_RETRY).pause(item.failures + 1)

    def _follow(self, item: QueueItem, exception: BaseException | None) -> Sequence[NewItem]:
        try:
            is_call = _part(item.data, "operation") is not None
        except PayloadError:
            return []
        return self._news(item, item.queue_name) if is_call else []


def _part(data: Any, name: str) -> str | None:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _error_text(error: OperationError) -> str:
    return json.dumps(error.facts())


def _void(task: TaskContext) -> Exception | None:
    """Why a coroutine need not go on."""
    if not task.is_void:
        return None
    return TaskTimeout("the operation took longer than its time without reporting, or others have the call now")
