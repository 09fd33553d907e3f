"""What an operation gets as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

from ..errors import NotSupported
from ..execution.context import TaskContext, TaskLog, task_log
from .progress import Reports
from .users import User

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Opens a session whose transaction is committed at the end of the block, or rolled back on an error.
OpenSession = Callable[[], "AbstractContextManager[Session]"]


class OperationContext:
    """The first argument of an operation.

    Arguments:
        operation: its name.
        user: in whose name it is called, as they are now.
        tracking_id: that of the call; None when somebody waits for the answer and nothing was recorded.
    """

    def __init__(
        self, operation: str, user: User, open_session: OpenSession, tracking_id: str | None = None,
        task: TaskContext | None = None, reports: Reports | None = None,
    ) -> None:  # fmt: skip
        self.operation = operation
        self.user = user
        self.tracking_id = tracking_id
        self._open_session = open_session
        self._task = task
        self._reports = reports
        self._session: Session | None = None
        self._thread = get_ident()
        self._stack = ExitStack()

    @property
    def session(self) -> Session:
        """A database session: what is written in it, the result and the end of the call are committed together.

        It is opened when it is first asked for. Raises :class:`NotSupported` in another thread than that of the
        operation.
        """
        if get_ident() != self._thread:
            raise NotSupported("ctx.session belongs to the thread of the operation: others need one of their own")
        if self._session is None:
            self._session = self._stack.enter_context(self._open_session())
        return self._session

    @contextmanager
    def performing(self) -> Iterator[None]:
        """While the operation is called; commits at the end, unless it raises."""
        with self._stack:
            yield

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._task.attempt if self._task else 1

    @property
    def log(self) -> TaskLog:
        """A logger whose lines name queue, item and attempt."""
        return self._task.log if self._task else task_log("operations", None, 1)

    @property
    def should_stop(self) -> bool:
        """Whether a stop or the cancellation was asked for, or the lease is lost: save what you can, return soon."""
        return self._task is not None and self._task.should_stop

    def report(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show progress to whoever asks for the state (see :meth:`TaskContext.report`), some times a second at most.

        On SQLite, with its one writer, nothing is shown while the operation has :attr:`session` open.
        """
        if self._task is not None:
            self._task.report(done, total, message)
        if self._reports is not None:
            self._reports.report(done, total, str(message), is_writing=self._session is not None)

    def heartbeat(self) -> None:
        """Say that the operation is alive: its time counts from now."""
        if self._task is not None:
            self._task.heartbeat()
