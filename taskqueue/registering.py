"""Queues that nobody creates by hand: registered when they are first needed, also inside a caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .queues.batch import BatchQueue
from .service import QueueService
from .storage.committed import after_commit

if TYPE_CHECKING:
    from .queues.base import Joinable


def find_or_make(
    service: QueueService, session: Joinable | None, certain: Callable[[BatchQueue], object], *, type: str, name: str,
    **options: Any,
) -> BatchQueue:  # fmt: skip
    """The queue of that name, made if it is new.

    Arguments:
        session: the caller's, whose transaction may be the only one that can write; None: that of the task in hand.
        certain: ``certain(queue)`` is called once its registration is there for good: at once, or after the commit of
            the session; of the commit of a Connection nobody hears.
        type, name, options: as :meth:`QueueService.create` takes them.
    """
    database = service.database
    session = session if session is not None else database.current_session
    if session is None or not database.dialect.single_writer:
        queue = service.load(name) if service.exists(name) else service.create(type, name, **options)
        certain(queue)
        return queue
    # The caller may be the one writer: nobody else could make the queue, or the tables, before its commit.
    queue = service.create_within(session, type, name, **options)
    joined = database.orm_session(session)
    if joined is not None:
        after_commit(joined, ("registered", name), partial(certain, queue))
    return queue
