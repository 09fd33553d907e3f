"""Whether a method takes the arguments of a call, before it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Signatures:
    """The signatures of the methods of a service, each read once."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._known: dict[str, inspect.Signature | None] = {}

    def problem(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Why the method cannot be called so; None: it can, or that cannot be told."""
        if method not in self._known:
            self._known[method] = _signature(getattr(self._thing, method))
        signature = self._known[method]
        if signature is None:
            return None
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            return f"{method}{_short(signature)} cannot be called so: {error}"
        return None


def _signature(method: Callable[..., Any]) -> inspect.Signature | None:
    """That of the method as it is called: a decorator may give arguments of its own to what it wraps."""
    try:
        return inspect.signature(method, follow_wrapped=False)
    except (TypeError, ValueError):  # as some that are written in C
        return None


def _short(signature: inspect.Signature) -> inspect.Signature:
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
