"""Marks on the methods of a service: which of them handle what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ..errors import SpecError
from ..retries import RetryPolicy, policy_of
from ..spec import nearest, shown

Function = TypeVar("Function", bound=Callable[..., Any])
#: Where a function keeps its marks.
_MARKS = "__taskqueue_handles__"
#: All events (not the callbacks) of a service.
ANY = "*"
OUTCOMES = ("succeeded", "failed", "done")


@dataclass(frozen=True)
class Mark:
    """What one method handles."""

    #: "request", "event", or an outcome of :data:`OUTCOMES`.
    kind: str
    event: str
    retry: RetryPolicy | None = None


@overload
def handles(event: Function) -> Function: ...
@overload
def handles(event: str | None = None, *, retry: RetryPolicy | str | None = None) -> Callable[[Function], Function]: ...
def handles(event: Any = None, *, retry: RetryPolicy | str | None = None) -> Any:
    """The method handles calls and ``send`` of one event: ``handler(self, ctx, ...)``.

    Arguments:
        event: its name; that of the method if left out.
        retry: a policy of its own, or the name of one.

    Raises :class:`SpecError`.
    """
    if callable(event):
        return _marked(event, Mark("request", event.__name__))
    if event is not None:
        _check_event(event, "handles")
    policy = policy_of(retry) if retry is not None else None
    return lambda function: _marked(function, Mark("request", event or function.__name__, policy))


def on(event: str, *, retry: RetryPolicy | str | None = None) -> Callable[[Function], Function]:
    """The method is one of those that get an event, ``handler(self, ctx, data)``; ``"*"``: every event.

    Raises :class:`SpecError`.
    """
    _check_event(event, "on")
    policy = policy_of(retry) if retry is not None else None
    return lambda function: _marked(function, Mark("event", event, policy))


def after(event: str, outcome: str) -> Callable[[Function], Function]:
    """The method is told what became of messages of that event: ``handler(self, ctx, result_or_error)``.

    Arguments:
        outcome: "succeeded" (gets the result), "failed" (dead; gets ``{"type": .., "message": ..}``), or "done"
            (either; gets what the other would get).

    Raises :class:`SpecError` on another outcome.
    """
    _check_event(event, "after")
    if outcome not in OUTCOMES:
        raise SpecError(f"an outcome is one of {', '.join(OUTCOMES)}, not {shown(outcome)}{nearest(outcome, OUTCOMES)}")
    return lambda function: _marked(function, Mark(outcome, event))


def _check_event(event: object, mark: str) -> None:
    if callable(event):
        raise SpecError(f"@{mark} takes the name of an event: @{mark}(...) above {getattr(event, '__name__', 'it')}")
    if not isinstance(event, str) or not event:
        raise SpecError(f"@{mark} takes the name of an event, a text that is not empty, not {shown(event)}")


def _marked(function: Function, mark: Mark) -> Function:
    marks = getattr(function, _MARKS, ())
    setattr(function, _MARKS, (*marks, mark))
    return function


def marks_of(kind: type) -> Iterator[tuple[str, Mark]]:
    """The names of the marked methods of a class, each with a mark, in the order of their definition; bases first.

    A method that overrides a marked one, and has no marks itself, keeps those.
    """
    seen: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        seen.update(dict.fromkeys(vars(base)))
    for name in seen:
        found = (getattr(getattr(base, name, None), _MARKS, ()) for base in kind.__mro__)
        for mark in next(filter(None, found), ()) if callable(getattr(kind, name, None)) else ():
            yield name, mark
