"""Messages as JSON shows them, to programs and to humans."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ..redact import HIDDEN, redact
from ..serializer import encode
from .message import Message


def message_facts(message: Message, *, hides_secrets: bool) -> dict[str, Any]:
    """All of a message; what looks like a secret is hidden where it is only shown, and not delivered."""
    data = json.loads(encode(message.data, max_bytes=2**40))  # as it is stored, where JSON has no type for it
    return {
        "id": message.id, "channel": message.channel, "consumer": message.consumer, "producer": message.producer,
        "kind": message.kind, "sequence": message.sequence, "user": message.user,
        "sent": message.sent.isoformat(), "deliver_after": message.deliver_after.isoformat(),
        "expires": _iso(message.expires), "window": message.window.to_data() if message.window is not None else None,
        "is_published": message.is_published, "reason": message.reason, "attempts": message.attempts,
        "data": redact(data, _without_bytes) if hides_secrets else data,
    }  # fmt: skip


def _without_bytes(name: str, value: Any) -> Any:
    return HIDDEN if name == "$bytes" else value


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
