"""The function of an operation: whether it can be called ``function(ctx, data)``, and what its annotations say."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import SpecError
from ..spec import shown

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_function(operation: str, function: object) -> None:
    """Raise :class:`SpecError` unless it can be called ``function(ctx, data)`` and does its work then."""
    if isinstance(function, type):
        raise SpecError(
            f"operation {operation!r} must be a function (ctx, data), not the class {function.__qualname__}"
        )
    if not callable(function):
        raise SpecError(f"operation {operation!r} must be a function (ctx, data), not {shown(function)}")
    inner = _innermost(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise SpecError(
            f"operation {operation!r} yields, so that a call of it would execute nothing: let it return its result"
        )
    signature = _signature(operation, function)
    try:
        signature.bind(None, None)
    except TypeError as error:
        is_method = next(iter(signature.parameters), "") == "self"
        hint = ": a method is registered together with its object, operation(...)(thing.method)" if is_method else ""
        raise SpecError(
            f"operation {operation!r} is called function(ctx, data), which a function of {_short(signature)} "
            f"does not take ({error}){hint}"
        ) from None


def annotation_of_data(operation: str, function: Callable[..., Any]) -> Any:
    """What the parameter for the data is annotated with; Any when it is not. Raises :class:`SpecError`."""
    parameter = _parameter_of_data(operation, function)
    if parameter is None:
        raise SpecError(
            f"operation {operation!r} takes *args, so that nothing tells what its data are: name its parameters, "
            "decorate with functools.wraps, or give schema="
        )
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    try:
        return _resolved(parameter.annotation, function)
    except Exception as error:
        raise SpecError(
            f"operation {operation!r}: the annotation {shown(parameter.annotation)} of {parameter.name} cannot be read "
            f"({type(error).__name__}: {error}): import or define it at the top of the module, or give schema="
        ) from None


def default_of_data(operation: str, function: Callable[..., Any]) -> Any:
    """What the function takes when it is given no data; None when it does not say. Raises :class:`SpecError`."""
    parameter = _parameter_of_data(operation, function)
    return None if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default


def _parameter_of_data(operation: str, function: Callable[..., Any]) -> inspect.Parameter | None:
    found = _second(_signature(operation, function))
    if found is not None:
        return found
    try:
        # A decorator may have put (*args) in place of the function.
        return _second(inspect.signature(_innermost(function)))
    except (TypeError, ValueError):
        return None


def annotation_of_result(function: Callable[..., Any]) -> Any:
    """What the function says that it returns; Any when that is nothing, or a name for type checkers only."""
    try:
        annotation = inspect.signature(function).return_annotation
        return Any if annotation is inspect.Signature.empty else _resolved(annotation, function)
    except Exception:
        return Any


def _signature(operation: str, function: Callable[..., Any]) -> inspect.Signature:
    """That of the function as it is called: a decorator may give arguments of its own to what it wraps."""
    try:
        return inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # as some that are written in C
        raise SpecError(
            f"operation {operation!r}: the parameters of {shown(function)} cannot be told: wrap it in a function "
            "(ctx, data)"
        ) from None


def _second(signature: inspect.Signature) -> inspect.Parameter | None:
    found = [one for one in signature.parameters.values() if one.kind in _BY_POSITION]
    return found[1] if len(found) > 1 else None


def _resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation with the names in it looked up where the function was written."""
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    names = getattr(_innermost(function), "__globals__", {})
    return typing.get_type_hints(holder, globalns=names, localns={}, include_extras=True)["it"]


def _innermost(function: Any) -> Any:
    """The function that was written down: without decorators, partial arguments and its object."""
    seen = 0
    while seen < 50:  # who wraps itself is wrapped for ever
        seen += 1
        if isinstance(function, partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function):
            function = function.__func__
        elif not inspect.isroutine(function) and inspect.isfunction(found := _how_called(function)):
            function = found
        else:
            break
    return function


def _how_called(thing: object) -> object:
    return inspect.getattr_static(type(thing), "__call__", None)


def _short(signature: inspect.Signature) -> str:
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
