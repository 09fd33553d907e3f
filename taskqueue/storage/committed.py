"""What is to be done once the caller's own transaction has been committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session

_log = logging.getLogger(__name__)
#: Where a session keeps what is to be done; by key, so that the same thing is done once however often it was asked for.
_WISHES = "taskqueue.committed"


def after_commit(session: Session | scoped_session[Any], key: Hashable, work: Callable[[], object]) -> None:
    """Call ``work()`` after the commit of the session's outermost transaction; never, when that is rolled back.

    The session cannot be used in it. What it raises is logged: the commit has taken place.
    """
    session = session() if isinstance(session, scoped_session) else session
    wishes: dict[Hashable, Callable[[], object]] | None = session.info.get(_WISHES)
    if wishes is None:
        wishes = session.info[_WISHES] = {}
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_rollback", _forget)
    wishes.setdefault(key, work)


def _committed(session: Session) -> None:
    if session.in_nested_transaction():  # a savepoint was released, which decides nothing
        return
    wishes = session.info[_WISHES]
    for work in [wishes.pop(key) for key in list(wishes)]:
        try:
            work()
        except Exception:
            _log.exception("what was to be done after a commit failed")


def _forget(session: Session) -> None:
    session.info[_WISHES].clear()
