"""Which attributes of a service a message may name: what stands in a database must not reach anything else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def method_of(thing: Any, name: str) -> Callable[..., Any] | None:
    """The method of that name, if it is a function that was written in a module of one of the service's classes.

    So neither what a class or a module has only imported can be called, nor what a property would give, which is not
    even evaluated; nor a name that begins with ``_``.
    """
    if name.startswith("_"):
        return None
    found = inspect.getattr_static(thing, name, None)
    function = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
    function = inspect.unwrap(function) if callable(function) else None
    if not inspect.isfunction(function) or function.__module__ not in _modules(thing):
        return None
    method = getattr(thing, name)
    return method if callable(method) else None


def _modules(thing: Any) -> set[str]:
    if inspect.ismodule(thing):
        return {thing.__name__}
    return {kind.__module__ for kind in type(thing).__mro__ if kind is not object}
