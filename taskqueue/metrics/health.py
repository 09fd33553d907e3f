"""Whether the queues are looked after: one answer, for a load balancer, the probe of a container, or cron."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from .. import clock
from ..errors import SpecError, TaskQueueError
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..spec import check_name, shown
from ..storage import presence
from ..storage.presence import WorkerRow
from .kept import Kept

_log = logging.getLogger(__name__)
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Any]
#: The oldest item that waits may wait so many seconds.
OLDEST = 600.0
#: An answer is given again for so long (ms): whoever asks often must not burden the database.
_SHOWN_FOR = 2000


@dataclass(frozen=True)
class Trouble:
    """Something that is not as it should be."""

    #: "database": it cannot be reached, or not be read; "missing": there is no such queue; "unserved": no worker serves
    #: the queue; "late": an item has been waiting for too long.
    kind: Literal["database", "missing", "unserved", "late"]
    #: The queue that is meant; "" for the database.
    queue: str
    #: A sentence for humans.
    text: str


def troubles(
    service: QueueService, queues: Sequence[str] | None = None, *, oldest: float = OLDEST, by_workers: bool = True
) -> list[Trouble]:
    """All that is wrong with the queues of a service; an empty list when they are looked after.

    A few seeks for each queue, however many items stand there. What is paused, a draft, completed, aborted or held back
    by a ``queue_active`` receiver rests on purpose, and what is for the workers of another application is theirs. A
    worker is expected only where the queue asks for one (``agent="server"``).

    Arguments:
        queues: names; None: all with ``agent="server"``.
        oldest: an item may be ready for so many seconds, counted from its creation (also when it was delayed, is tried
            again, or stands behind another one), or due for so long as nobody has looked at it since.
        by_workers: whether workers are expected to be there all the time; False where cron starts them.

    A database that cannot be reached is a trouble, too; it is tried for some ten seconds, and longer if no host answers
    at all. Raises :class:`SpecError` on names and times that are none.
    """
    _check(queues, oldest)
    try:
        return _found(service, queues, oldest, by_workers=by_workers)
    except TaskQueueError as error:
        return [Trouble("database", "", str(error))]


def _check(queues: Sequence[str] | None, oldest: object) -> None:
    if isinstance(queues, str):
        raise SpecError(f"queues must be a list of names, not {shown(queues)}")
    for name in queues or ():
        check_name(name)
    if not isinstance(oldest, (int, float)) or isinstance(oldest, bool) or not 0 <= oldest < math.inf:
        raise SpecError(f"oldest must be seconds, not {shown(oldest)}")


def _found(service: QueueService, queues: Sequence[str] | None, oldest: float, *, by_workers: bool) -> list[Trouble]:
    served = [queue for queue in service.served(queues) if isinstance(queue, SqlBase)]
    if not service.uses_database:
        return []
    found = [
        Trouble("missing", name, f"there is no queue {shown(name)}")
        for name in queues or ()
        if not any(queue.name == name for queue in served) and not service.exists(name)
    ]
    if not served:
        # Even where nothing is to be looked after: whoever asks wants to know whether the database is there.
        service.database.statement(lambda tx: tx.row("SELECT {now}"), write=False)
        return found
    rows = service.database.statement(presence.workers, write=False) if by_workers else []
    for queue in served:
        if queue.is_active():
            found += _unserved(queue, rows) if by_workers else []
            found += _late(queue, oldest)
    return found


def _unserved(queue: SqlBase, workers: Sequence[WorkerRow]) -> list[Trouble]:
    stale_after = clock.to_ms(queue.settings.stale_after)
    is_served = any(row.serves(queue.name) for row in workers if not row.beat.is_stale(stale_after))
    if is_served or queue.spec.agent != "server":
        return []
    return [Trouble("unserved", queue.name, f"no worker serves queue {queue.name!r}: start 'taskqueue work'")]


def _late(queue: SqlBase, oldest: float) -> list[Trouble]:
    waited = queue.database.statement(queue.rows.longest_wait, write=False) / 1000
    if waited <= oldest:
        return []
    text = f"an item of queue {queue.name!r} has been waiting for {waited:,.0f} s, longer than {oldest:g} s"
    return [Trouble("late", queue.name, text)]


#: What is told over HTTP: names of hosts and accounts are nobody's business.
_UNREACHABLE = Trouble("database", "", "the database cannot be reached, or not be read")


def health_app(
    service: QueueService, queues: Sequence[str] | None = None, *, oldest: float = OLDEST, by_workers: bool = True,
    tells: bool = False,
) -> WSGIApp:  # fmt: skip
    """A WSGI application that answers 200 when the queues are looked after, else 503; for ``mount`` of your framework.

    Arguments:
        queues, oldest, by_workers: as of :func:`troubles`.
        tells: whether the answer says what is wrong, and with which queue; only where no stranger can ask.

    The body is JSON: ``{"status": "ok"}`` or ``{"status": "failing"}``, with ``tells`` also ``"troubles"``, a list of
    objects with kind, queue and text; what a database or its driver says is left out. GET and HEAD only. It is looked
    every two seconds at most. Raises :class:`SpecError` like :func:`troubles`.
    """
    _check(queues, oldest)
    return _Health(partial(troubles, service, queues, oldest=oldest, by_workers=by_workers), tells)


class _Health:
    def __init__(self, look: Callable[[], list[Trouble]], tells: bool) -> None:
        self._look = look
        self._tells = tells
        self._troubles = Kept(self._looked, _SHOWN_FOR)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return [b""]
        found = self._troubles.get()
        answer: dict[str, Any] = {"status": "failing" if found else "ok"}
        if self._tells:
            answer["troubles"] = [asdict(trouble) for trouble in found]
        body = (json.dumps(answer) + "\n").encode()
        start_response(
            "503 Service Unavailable" if found else "200 OK",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")],
        )
        return [body if environ["REQUEST_METHOD"] == "GET" else b""]

    def _looked(self) -> list[Trouble]:
        try:
            found = self._look()
        except Exception:  # of a driver, or of the application's own engine
            _log.exception("it could not be seen whether the queues are looked after")
            found = [_UNREACHABLE]
        return [_UNREACHABLE if trouble.kind == "database" else trouble for trouble in found]
