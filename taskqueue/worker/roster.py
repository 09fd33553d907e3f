"""The workers that are there, as they say in the database, and what they have in hand."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from .. import clock
from ..queues.sql_base import SqlBase, process
from ..service import QueueService
from ..spec import is_name
from ..storage import presence
from ..storage.presence import WorkerRow

#: At most so many items are listed for a queue.
_ITEMS = 1000


@dataclass(frozen=True)
class WorkerInfo:
    """One worker process."""

    #: Unique per start of a process.
    token: str
    host: str
    pid: int
    #: The names of the queues that it serves at the moment.
    queues: tuple[str, ...]
    threads: int
    #: Since when it runs, and when it gave its latest sign of life (UTC).
    since: datetime
    last_beat: datetime
    #: "serving", "stopping", or "silent" when the latest sign of life is too old.
    state: str
    #: (queue, id, title) of what it has in hand.
    items: tuple[tuple[str, int, str], ...] = ()
    #: Seconds since the latest sign of life, by the database's clock; this host's may be another one.
    beat_age: float = field(default=0.0, compare=False)


def sign_of_life(service: QueueService, queues: list[str], threads: int, state: str) -> None:
    """Store that this process serves these queues. Raises :class:`DatabaseError` and its kin."""
    facts = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "queues": queues, "threads": threads,
                        "state": state})  # fmt: skip
    period = clock.to_ms(service.settings.heartbeat)
    service.database.last_beat = process.token, time.monotonic()
    service.database.statement(lambda tx: presence.beat_of_worker(tx, process.token, process.label, period, facts))
    lease = clock.to_ms(service.settings.lease_slice)
    service.database.statement(lambda tx: service.database.stranded.free(tx, lease))


def sign_off(service: QueueService) -> None:
    """This process serves nothing any more."""
    service.database.statement(lambda tx: presence.leave(tx, process.token))


def present(service: QueueService) -> list[WorkerInfo]:
    """All workers on the service's database, the oldest first; those that died are "silent" for a day."""
    rows = service.database.statement(presence.workers, write=False)
    return [_info(row, clock.to_ms(service.settings.stale_after)) for row in rows]


def workers(service: QueueService) -> list[WorkerInfo]:
    """The same, with what they have in hand."""
    found = present(service)
    in_hand = _in_hand(service, {name for info in found for name in info.queues})
    return [_with_items(info, in_hand.get(info.token, [])) for info in found]


def serving(service: QueueService, queue_name: str) -> list[WorkerInfo]:
    """The workers that are alive and serve that queue."""
    return [info for info in present(service) if queue_name in info.queues and info.state == "serving"]


def _info(row: WorkerRow, stale_after: int) -> WorkerInfo:
    facts = _facts(row.facts)
    state = "silent" if row.beat.is_stale(stale_after) else str(facts.get("state", "serving"))
    queues = facts.get("queues")
    names = tuple(name for name in queues if is_name(name)) if isinstance(queues, list) else ()
    return WorkerInfo(
        row.token, str(facts.get("host", "")), _number(facts, "pid"), names, _number(facts, "threads"),
        clock.from_ms(row.start_time), clock.from_ms(row.beat_time), state,
        beat_age=row.beat.age / 1000,
    )  # fmt: skip


def _number(facts: dict[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _with_items(info: WorkerInfo, items: list[tuple[str, int, str]]) -> WorkerInfo:
    return WorkerInfo(**{**info.__dict__, "items": tuple(items)})


def _in_hand(service: QueueService, names: set[str]) -> dict[str, list[tuple[str, int, str]]]:
    found: dict[str, list[tuple[str, int, str]]] = {}
    for name in sorted(names):
        if not service.exists(name) or not isinstance(queue := service.load(name), SqlBase):
            continue
        for row in service.database.statement(partial(presence.held, queue_name=name, limit=_ITEMS), write=False):
            found.setdefault(row.token, []).append((name, row.id, queue.title_in(row.data, row.uid, row.id)))
    return found
