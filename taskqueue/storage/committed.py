"""What is to be done once the caller's own transaction has been committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

_log = logging.getLogger(__name__)
#: Where a session keeps what is to be done; by key, so that the same thing is done once however often it was asked for.
_WISHES = "taskqueue.committed"


class _Wish(NamedTuple):
    #: The transaction, or savepoint, with whose end it is forgotten.
    owner: SessionTransaction
    work: Callable[[], object]


def after_commit(session: Session | scoped_session[Any], key: Hashable, work: Callable[[], object]) -> None:
    """Call ``work()`` after the commit of the session's outermost transaction; never, when that, or the savepoint of
    the moment, is rolled back or just closed.

    The session cannot be used in it. What it raises is logged: the commit has taken place.
    """
    session = session() if isinstance(session, scoped_session) else session
    wishes: dict[Hashable, _Wish] | None = session.info.get(_WISHES)
    if wishes is None:
        wishes = session.info[_WISHES] = {}
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_transaction_end", _ended)
    owner = session.get_nested_transaction() or session.get_transaction() or session.begin()
    wishes.setdefault(key, _Wish(owner, work))


def _committed(session: Session) -> None:
    wishes: dict[Hashable, _Wish] = session.info[_WISHES]
    savepoint = session.get_nested_transaction()
    if savepoint is not None:  # was released, which decides nothing: what is around it does
        outer = savepoint.parent
        for key, wish in wishes.items():
            if wish.owner is savepoint and outer is not None:
                wishes[key] = wish._replace(owner=outer)
        return
    interrupt: BaseException | None = None
    for _owner, work in [wishes.pop(key) for key in list(wishes)]:
        try:
            work()
        except Exception:
            _log.exception("what was to be done after a commit failed")
        except BaseException as error:  # the others were promised, too
            interrupt = interrupt or error
    if interrupt is not None:
        raise interrupt


def _ended(session: Session, transaction: SessionTransaction) -> None:
    """Also without a rollback, as where the session is closed at the end of a request."""
    wishes: dict[Hashable, _Wish] = session.info[_WISHES]
    for key in [key for key, wish in wishes.items() if wish.owner is transaction]:
        del wishes[key]
