"""The name of what an item calls. Never its arguments, nor a title, which may be made of them."""

from __future__ import annotations

from typing import Any

from ..queues.batch import BatchQueue
from ..spec import OPERATION_PAYLOAD, OUTBOX_PAYLOAD
from ..task import Task


def called(queue: BatchQueue, data: Any) -> str | None:
    """The callback of a task, ``service.event`` of a message, the name of an operation; else who handles the queue's
    payload here."""
    if isinstance(data, Task):
        return data.callback
    payload = queue.spec.payload
    if isinstance(data, dict):
        if payload == OUTBOX_PAYLOAD and isinstance(data.get("service"), str) and isinstance(data.get("event"), str):
            return f"{data['service']}.{data['event']}"
        if payload == OPERATION_PAYLOAD and isinstance(data.get("operation"), str):
            return str(data["operation"])
    handler = queue.settings.handlers.get(payload or "")
    return _name(handler.function) if handler is not None else None


def _name(function: Any) -> str:
    found = function if hasattr(function, "__qualname__") else type(function)
    return f"{found.__module__}:{found.__qualname__}"
