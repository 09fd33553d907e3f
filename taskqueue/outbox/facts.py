"""Messages as JSON shows them, to programs and to humans; what looks like a secret is hidden."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..errors import PayloadError
from ..item import QueueItem
from ..showing import presentable
from .dead import DeadMessage
from .message import Message


def waiting_facts(item: QueueItem) -> dict[str, Any]:
    """A message that stands in a queue."""
    try:
        message: Message | None = Message.of(item.data)
        title = message.title if message else ""
    except PayloadError as error:
        message, title = None, f"(unreadable message: {error})"
    return {
        "id": item.uid, "item_id": item.id, "queue": item.queue_name, **_who(message), "title": title,
        "submit_time": item.submit_time.isoformat(), "release_time": _iso(item.release_time),
        "order_key": item.order_key, "attempts": item.failures, "last_error": item.last_error, **_content(message),
    }  # fmt: skip


def dead_facts(entry: DeadMessage) -> dict[str, Any]:
    """A dead message."""
    return {
        "id": entry.id, "item_id": entry.item_id, "queue": entry.queue_name, **_who(entry.message),
        "title": entry.title, "submit_time": entry.submit_time.isoformat(), "dead_time": entry.dead_time.isoformat(),
        "attempts": entry.attempts, "error": entry.error, "traceback": entry.traceback, **_content(entry.message),
    }  # fmt: skip


def _who(message: Message | None) -> dict[str, Any]:
    return {
        "service": message.service if message else None,
        "event": message.event if message else None,
        "tenant": message.tenant if message else None,
        "user": presentable(message.user) if message else None,
    }


def _content(message: Message | None) -> dict[str, Any]:
    return {name: presentable(getattr(message, name)) for name in ("args", "kwargs", "headers")} if message else {}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
