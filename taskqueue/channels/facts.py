"""Messages as JSON shows them, to programs and to humans."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..showing import as_stored, presentable
from .message import Message


def message_facts(message: Message, *, hides_secrets: bool) -> dict[str, Any]:
    """All of a message; what looks like a secret is hidden where it is only shown, and not delivered."""
    return {
        "id": message.id, "channel": message.channel, "consumer": message.consumer, "producer": message.producer,
        "kind": message.kind, "sequence": message.sequence, "user": message.user,
        "sent": message.sent.isoformat(), "deliver_after": message.deliver_after.isoformat(),
        "expires": _iso(message.expires), "window": message.window.to_data() if message.window is not None else None,
        "is_published": message.is_published, "reason": message.reason, "attempts": message.attempts,
        "data": presentable(message.data) if hides_secrets else as_stored(message.data),
    }  # fmt: skip


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
