"""Who makes a call, and in which transaction, as the application says it where the call itself does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..errors import ConfigurationError, SessionMismatch, SpecError
from ..spec import shown

if TYPE_CHECKING:
    from ..queues.base import Joinable


class Moment:
    """What holds at the moment of a call.

    Arguments:
        session: gives the session of the moment, or None; a ``scoped_session`` is such a thing.
        user: gives the id of the user of the moment, or a mapping with "user", "claims" and "locale".

    Raises :class:`SpecError` when one of them cannot be called.
    """

    def __init__(self, session: Callable[[], Any] | None, user: Callable[[], Any] | None) -> None:
        if isinstance(session, Session):
            raise SpecError(
                "session= of an Outbox takes a scoped_session, or a function that gives the session of the moment; "
                "a Session of your own is given with the call: queued(service, session)"
            )
        for name, given in (("session", session), ("user", user)):
            if given is not None and not callable(given):
                raise SpecError(f"{name}= of an Outbox must be something to call, not {shown(given)}")
        self._session = session
        self._user = user

    def session(self) -> Joinable | None:
        """The session of the moment. Raises :class:`ConfigurationError` where the application should have one."""
        found: Joinable | None = self._ask(
            "session", self._session, "call inside of app.app_context(), or say queued(service, session)"
        )
        return checked_session(found)

    def facts(self) -> Mapping[str, Any]:
        """Who calls: "user", and perhaps "claims" and "locale". Raises :class:`ConfigurationError`."""
        found = self._ask(
            "user", self._user, "let it return None where nobody is signed in, or say queued(service, user=...)"
        )
        return found if isinstance(found, Mapping) else {"user": found}

    def _ask(self, name: str, function: Callable[[], Any] | None, remedy: str) -> Any:
        try:
            return function() if function is not None else None
        except Exception as error:  # the application's own code may raise anything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ConfigurationError(f"{name}= of the outbox has no answer here ({reason}): {remedy}") from error


def checked_session(given: Any) -> Joinable | None:
    """What a call may be recorded in. Raises :class:`SessionMismatch` on anything else."""
    checked: Joinable | None = given
    if given is None or isinstance(given, (Session, Connection, scoped_session)):
        return checked
    if isinstance(given, Engine):
        remedy = "open one: with Session(engine) as session"
    elif isinstance(given, sessionmaker):
        remedy = "call it, and give what it returns"
    elif hasattr(given, "run_sync"):
        remedy = "say await session.run_sync(lambda one: queued(service, one).method(...))"
    else:
        remedy = "options of a call are given by name"
    raise SessionMismatch(f"session= takes an SQLAlchemy Session or Connection, not {type(given).__name__}: {remedy}")
