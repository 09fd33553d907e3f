"""Which attributes of a service a message may name: what stands in a database must not reach anything else."""

from __future__ import annotations

import inspect
from typing import Any


def public_methods(thing: Any) -> frozenset[str]:
    """The names of its methods: of functions that were written in a module of one of the service's classes.

    So neither what a class or a module has only imported can be called, nor what a property would give, which is not
    even evaluated; nor a name that begins with ``_``.
    """
    modules = _modules(thing)
    return frozenset(name for name in dir(thing) if not name.startswith("_") and _is_own(thing, name, modules))


def _is_own(thing: Any, name: str, modules: set[str]) -> bool:
    found = inspect.getattr_static(thing, name, None)
    function = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
    function = inspect.unwrap(function) if callable(function) else None
    return inspect.isfunction(function) and function.__module__ in modules


def _modules(thing: Any) -> set[str]:
    if inspect.ismodule(thing):
        return {thing.__name__}
    return {kind.__module__ for kind in type(thing).__mro__ if kind is not object}
