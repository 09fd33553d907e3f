"""What one line of a list says, as JSON shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import clock
from ..errors import PayloadError
from ..item import name_of_data, title_of_data
from ..redact import RedactHook, redact_text
from ..showing import presentable
from ..storage.browse import DeadLine, EndingLine, ItemLine
from ..storage.schema import DELAYED, LEASED
from ..task import Task

#: ``unpack(text, queue_name, uid)`` gives what is stored; raises :class:`PayloadError`.
Unpack = Callable[[str, str, str], Any]


def moment(ms: int) -> str:
    """A stored time, as ISO 8601 in UTC."""
    return clock.iso(clock.from_ms(ms), "milliseconds")


def first_line(text: str | None) -> str:
    """Of an error, without what looks like a secret."""
    return redact_text(next((line for line in (text or "").splitlines() if line.strip()), "").strip())


class Names:
    """What items are called in lists.

    Arguments:
        unpack: reads what is stored.
        shows_data: whether the visitor may see what items hold: then that is what nameless ones are called by.
        hook: says what of it is not shown, besides what looks like a secret.
    """

    def __init__(self, unpack: Unpack, *, shows_data: Callable[[str], bool], hook: RedactHook | None = None) -> None:
        self._unpack = unpack
        self._shows_data = shows_data
        self._hook = hook

    def of(self, data: str | None, queue_name: str, uid: str) -> tuple[str, str]:
        """The title, and the callback of a task; "" where there is none, or none that may be seen."""
        if data is None:
            return "", ""
        try:
            found = self._unpack(data, queue_name, uid)
        except PayloadError:
            return "", ""
        callback = found.callback if isinstance(found, Task) else ""
        title = name_of_data(found)
        if not title and self._shows_data(queue_name):
            title = title_of_data(presentable(found, self._hook))
        return title, callback


def item_facts(line: ItemLine, names: Names, stale_after: int) -> dict[str, Any]:
    """An item in a list."""
    title, callback = names.of(line.data, line.queue_name, line.uid)
    state = state_of(line, stale_after)
    return {
        "id": line.id,
        "queue": line.queue_name,
        "title": title,
        "callback": callback,
        "state": state,
        "fence": line.fence,
        "weight": line.weight,
        "submitted": moment(line.submit_time),
        "age_s": max(line.now - line.submit_time, 0) / 1000,
        "due_s": max(line.release_time - line.now, 0) / 1000 if state in ("scheduled", "retrying") else None,
        "attempts": line.failures,
        "is_cancelled": bool(line.is_cancelled),
        "holder": line.label if state in ("running", "silent") else None,
        "heartbeat_age_s": line.beat.age / 1000 if line.beat and state in ("running", "silent") else None,
        "error": first_line(line.last_error),
    }


def state_of(line: ItemLine, stale_after: int) -> str:
    """ "waiting", "running", "silent" (held by somebody without a sign of life), "scheduled" or "retrying"."""
    if line.state == LEASED and line.release_time > line.now:
        return "silent" if line.beat is not None and line.beat.is_stale(stale_after) else "running"
    if line.state == DELAYED and line.release_time > line.now:
        return "retrying" if line.failures else "scheduled"
    return "waiting"


def dead_facts(line: DeadLine, names: Names) -> dict[str, Any]:
    """A dead letter in a list."""
    title, callback = names.of(line.data, line.queue_name, line.uid)
    return {
        "id": line.id,
        "queue": line.queue_name,
        "title": title,
        "callback": callback,
        "weight": line.weight,
        "submitted": moment(line.submit_time),
        "died": moment(line.dead_time),
        "attempts": line.failures,
        "error": first_line(line.error),
    }


def ending_facts(line: EndingLine) -> dict[str, Any]:
    """A line of history in a list."""
    return {
        "id": line.id,
        "queue": line.queue_name,
        "item": line.item_id,
        "outcome": line.outcome,
        "attempt": line.attempt,
        "error": first_line(line.error),
        "ended": moment(line.end_time),
    }
