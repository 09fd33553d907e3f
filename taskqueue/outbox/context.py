"""What a handler gets: the message, and a database session whose commit includes its completion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..errors import NotSupported
from ..execution.context import TaskContext, TaskLog, task_log
from .message import Message

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Opens a session whose transaction is committed at the end of the block, or rolled back on an error.
OpenSession = Callable[[], "AbstractContextManager[Session]"]
_current: ContextVar[MessageContext | None] = ContextVar("taskqueue_message", default=None)


def current_message() -> MessageContext | None:
    """The message that is being delivered by this thread, for methods that get no context; None outside of one."""
    return _current.get()


class MessageContext:
    """The first argument of a marked handler.

    Arguments:
        open_session: opens the session of the handler; it is committed at the end, or rolled back.
        owner: what delivers the message.
    """

    def __init__(
        self, message: Message, message_id: str, owner: object, open_session: OpenSession,
        task: TaskContext | None = None,
    ) -> None:  # fmt: skip
        self.message = message
        #: The same at each attempt, so that a receiver can tell a duplicate.
        self.message_id = message_id
        self.owner = owner
        self._open_session = open_session
        self._task = task
        self._session: Session | None = None
        self._thread = get_ident()
        self._stack = ExitStack()

    @property
    def session(self) -> Session:
        """A database session: what is written in it, the end of the message, its callbacks and the next occurrence of
        its schedule are committed together.

        It is opened when it is first asked for, so that a handler may talk to a slow receiver before it holds any lock.
        Raises :class:`NotSupported` in another thread than that of the handler.
        """
        if get_ident() != self._thread:
            raise NotSupported("ctx.session belongs to the thread of the handler: others need a session of their own")
        if self._session is None:
            self._session = self._stack.enter_context(self._open_session())
        return self._session

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """While the handler is called; commits at the end, unless it raises."""
        token = _current.set(self)
        try:
            with self._stack:
                yield
        finally:
            _current.reset(token)

    @property
    def event(self) -> str:
        """The name of the event or method."""
        return self.message.event

    @property
    def headers(self) -> dict[str, Any]:
        """The headers that were given with the call."""
        return self.message.headers

    @property
    def user(self) -> Any:
        """The id of the user in whose name the call was recorded."""
        return self.message.user

    @property
    def claims(self) -> dict[str, Any]:
        """What was chosen to be kept of that user, as it was then."""
        return self.message.claims

    @property
    def locale(self) -> str | None:
        """The language of that user."""
        return self.message.locale

    @property
    def tenant(self) -> str | None:
        """The tenant whose message this is."""
        return self.message.tenant

    @property
    def facts(self) -> dict[str, Any]:
        """In whose name the call was recorded, as those have it that the handler records."""
        return {"user": self.user, "claims": self.claims, "locale": self.locale}

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._task.attempt if self._task else 1

    @property
    def log(self) -> TaskLog:
        """A logger whose lines name queue, item and attempt."""
        return self._task.log if self._task else task_log("outbox", None, 1)

    @property
    def should_stop(self) -> bool:
        """Whether a stop was asked for, or the lease is lost: save what you can, and return soon."""
        return self._task is not None and self._task.should_stop

    def report(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show progress, and start the handler's time anew."""
        if self._task is not None:
            self._task.report(done, total, message)

    def heartbeat(self) -> None:
        """Say that the handler is alive."""
        if self._task is not None:
            self._task.heartbeat()
