"""What items hold, as humans and programs may be shown it: as JSON, and without what looks like a secret."""

from __future__ import annotations

import json
from typing import Any

from .errors import PayloadError
from .item import Unpackable
from .redact import HIDDEN, redact
from .serializer import encode
from .task import Task


def as_stored(value: Any) -> Any:
    """As it is stored: what JSON has no type for carries a tag."""
    return json.loads(encode(value, max_bytes=2**40))


def presentable(value: Any) -> Any:
    """The same but for what looks like a secret."""
    return redact(as_stored(value), _without_bytes)


def content_of(item: Unpackable) -> dict[str, Any]:
    """What an item would call ("callback", "args", "kwargs"), or its "data", or the "problem" of what is unreadable."""
    try:
        data = item.data
    except PayloadError as error:
        return {"problem": str(error)}
    if not isinstance(data, Task):
        return {"data": presentable(data)}
    called = {
        "callback": data.callback,
        "args": presentable(list(data.args)),
        "kwargs": presentable(data.kwargs),
    }
    return called if data.run_as is None else {**called, "run_as": presentable(data.run_as)}


def _without_bytes(name: str, value: Any) -> Any:
    return HIDDEN if name == "$bytes" else value
