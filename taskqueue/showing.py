"""What items hold, as humans and programs may be shown it: as JSON, and without what looks like a secret."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from .errors import PayloadError
from .item import Unpackable
from .redact import HIDDEN, RedactHook, redact, redact_call
from .serializer import encode
from .task import Task


def as_stored(value: Any) -> Any:
    """As it is stored: what JSON has no type for carries a tag."""
    return json.loads(encode(value, max_bytes=2**40))


def presentable(value: Any, hook: RedactHook | None = None) -> Any:
    """The same but for what looks like a secret; ``hook`` says what else is not shown (see :func:`redact`)."""
    return redact(as_stored(value), _without_bytes(hook))


def content_of(item: Unpackable, hook: RedactHook | None = None) -> dict[str, Any]:
    """What an item would call ("callback", "args", "kwargs"), or its "data", or the "problem" of what is unreadable."""
    try:
        data = item.data
    except PayloadError as error:
        return {"problem": str(error)}
    if not isinstance(data, Task):
        return {"data": presentable(data, hook)}
    args, kwargs = redact_call(
        as_stored(list(data.args)), as_stored(data.kwargs), _parameters(data.callback), _without_bytes(hook)
    )
    called = {"callback": data.callback, "args": args, "kwargs": kwargs}
    return called if data.run_as is None else {**called, "run_as": presentable(data.run_as, hook)}


def _without_bytes(hook: RedactHook | None) -> RedactHook:
    def shown(name: str, value: Any) -> Any:
        return HIDDEN if name == "$bytes" else value if hook is None else hook(name, value)

    return shown


def _parameters(callback: str) -> list[str]:
    """What a callback calls its arguments, without the context; as far as its module is there: nothing is imported."""
    module, _, qualname = callback.partition(":")
    found: Any = sys.modules.get(module)
    try:
        for name in qualname.split("."):
            found = inspect.getattr_static(found, name)
        is_of_class = isinstance(found, classmethod)
        function = getattr(found, "__func__", found)
        return list(inspect.signature(function).parameters)[2 if is_of_class else 1 :]
    except (AttributeError, TypeError, ValueError):
        return []
