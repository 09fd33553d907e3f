"""Executing a call that stands on a queue, and what becomes of it: what runs the items of the payload "operation"."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PayloadError, TaskTimeout
from ..execution.context import TaskContext
from ..execution.coroutines import finished
from ..execution.failure import message_of
from ..interrupts import let_interrupt_pass
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..settings import Handler, Settings
from ..spec import shown
from ..storage import operations as stored
from ..storage.database import Database
from ..storage.operations import OperationRow, RequestRow
from ..verdicts import Later, Unrecoverable
from . import results
from .call import Call
from .context import OperationContext
from .definition import USUAL_RETRY, Operation
from .news import LOOK_EVERY, News
from .problems import AccessDenied, OperationError
from .progress import Reports
from .request import Request
from .users import User, Users

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: The longest text (characters) that is kept of what an operation has said; its details are left out if need be.
_LONGEST_ERROR = 100_000
_LONGEST_MESSAGE = 10_000


class Performer:
    """Executes calls.

    Arguments:
        registered: the operation of a name, or alias; None: there is none.
        news: who is told of the ends of calls.
        find: gives a call as it stands.
        database: on which operations work.
    """

    def __init__(
        self, settings: Settings, registered: Callable[[str], Operation | None], users: Users, news: News,
        find: Callable[[str], OperationRow | None], database: Callable[[], Database],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._registered = registered
        self._users = users
        self._news = news
        self._find = find
        self._database = database
        self._in_hand = threading.local()

    def handler(self, serves: Callable[[str], bool]) -> Handler:
        """What is registered for the payload of the queue; ``serves(queue_name)``: whether its calls are ours."""
        return Handler(self._run, pause=self._pause, follow=self._follow, needs_transaction=True, serves=serves)

    # --- without a queue ---

    def perform_now(self, operation: Operation, request: Request) -> Any:
        """Execute a call for whoever waits for its answer; return the result."""
        caller = getattr(self._in_hand, "context", None)
        context = OperationContext(operation.name, request.user, partial(self._session, caller))
        return self._perform(operation, request, context, lambda: None, lambda value: None)

    @contextmanager
    def _session(self, caller: OperationContext | None) -> Iterator[Session]:
        """A savepoint of the operation, or task, that makes the call; else a transaction of its own."""
        database = self._database()
        session = caller.session if caller is not None else database.current_session
        if session is not None:
            with session.begin_nested():
                yield session
        else:
            with database.session_scope() as session:
                yield session

    def _perform(
        self, operation: Operation, request: Request, context: OperationContext,
        void: Callable[[], Exception | None], complete: Callable[[Any], None],
    ) -> Any:  # fmt: skip
        """Call the operation as the user; ``complete(value)`` joins its transaction."""
        data = operation.admit(context.user, request.data)
        with self._as_user(context.user), context.performing():
            with self._handing(context):
                value = results.plain(finished(operation.function(context, data), void))
            complete(value)
        return value

    @contextmanager
    def _handing(self, context: OperationContext) -> Iterator[None]:
        """While the function is called: other operations that it calls belong to its transaction."""
        outer = getattr(self._in_hand, "context", None)
        self._in_hand.context = context
        try:
            yield
        finally:
            self._in_hand.context = outer

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
            return self._tell(task, told)
        stopping = _part(data, "stopping")
        if stopping is not None:
            return self._look(stopping)
        row = queue.database.statement(partial(stored.request, call_id=item.uid), write=False)
        if row is None or row.end_time:
            raise Unrecoverable("there is no such call on record, or it has ended: nothing was executed")
        if _part(data, "operation") != row.name:  # what the item says is signed, the name in the row is not
            raise PayloadError(
                f"the call on record is one of {shown(row.name)}, its item is not: one of them was altered"
            )
        try:
            self._perform_item(task, item, queue, row)
        except OperationError as error:
            self._end(task, item, queue, "failed", error)
        return None

    def _perform_item(self, task: TaskContext, item: QueueItem, queue: SqlBase, row: RequestRow) -> None:
        if row.left is not None and row.left <= 0:
            return self._end(task, item, queue, "expired", None)
        operation = self._registered(row.name)
        if operation is None:
            raise Unrecoverable(f"no operation {row.name!r} is registered here: register it, then revive")
        if item.interruptions and operation.on_lost == "dead":
            raise Unrecoverable("its worker was lost in mid-operation, and the operation says on_lost='dead'")
        request = Request.of(self._settings.codec.unpack(row.request, queue.name, item.uid))
        user = self._users.again(request.user)
        reports = Reports(queue, item)
        context = OperationContext(operation.name, user, task.completing, item.uid, task, reports)

        def complete(value: Any) -> None:
            self._write_end(task, item, queue, context, "succeeded", result=results.encoded(value))

        with reports:
            self._perform(operation, request, context, partial(_void, task), complete)
        return None

    def _write_end(
        self, task: TaskContext, item: QueueItem, queue: SqlBase, context: OperationContext, state: str, **how: Any
    ) -> None:
        tx = queue.database.joined(context.session)
        begun = item.failures + item.interruptions + (state != "expired")
        if not stored.end(tx, item.uid, state, attempts=begun, **how):
            raise Unrecoverable("the call was forgotten, or has ended otherwise: what it wrote was rolled back")
        for news in self._news.of(item.uid, queue.name, item.weight):
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

    def _tell(self, task: TaskContext, call_id: str) -> None:
        row = self._find(call_id)
        call = Call.of(row) if row is not None else None
        if call is not None and call.is_final:  # else it has begun anew: who wants to know is told of its new end
            for function in self._news.finished:
                finished(function(call), partial(_void, task))

    def _look(self, call_id: str) -> None:
        """Looking is enough: that a call was taken from its queue is then written down, and told."""
        row = self._find(call_id)
        if row is not None and not Call.of(row).is_final:
            raise Later(LOOK_EVERY, "the call has not stopped yet")

    # --- failures ---

    def _pause(self, item: QueueItem, exception: BaseException | None) -> float | None:
        try:
            data = item.data
        except PayloadError:
            return None
        if _part(data, "direct") is not None:  # somebody waits for the answer: it is for them to try again
            return None
        operation = self._registered(_part(data, "operation") or "")
        return (operation.retry if operation is not None else USUAL_RETRY).pause(item.failures + 1)

    def _follow(self, item: QueueItem, exception: BaseException | None) -> Sequence[NewItem]:
        try:
            is_call = _part(item.data, "operation") is not None
        except PayloadError:  # of what cannot be read only the id is known: if there is no such call, nobody is told
            is_call = True
        return self._news.of(item.uid, item.queue_name, item.weight) if is_call else []


def _part(data: Any, name: str) -> str | None:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _error_text(error: OperationError) -> str:
    """What is stored of it; without the details if they are no JSON, or too long."""
    try:
        facts = _with_status(error.facts(), error)
        text = json.dumps(facts, default=str, allow_nan=False)
        if len(text) <= _LONGEST_ERROR:
            return text
        code = str(facts["code"])[:200]
    except BaseException as trouble:  # texts and conversions may be of the user's
        let_interrupt_pass(trouble)
        code = error.usual_code
    return json.dumps({"code": code, "message": message_of(error)[:_LONGEST_MESSAGE]})


def _with_status(facts: dict[str, Any], error: OperationError) -> dict[str, Any]:
    status = error.chosen_status
    return facts if status is None else {**facts, "status": status}


def _void(task: TaskContext) -> Exception | None:
    """Why a coroutine need not go on."""
    if not task.is_void:
        return None
    return TaskTimeout("the operation took longer than its time without reporting, or others have the call now")
