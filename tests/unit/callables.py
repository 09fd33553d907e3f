"""Things that can, and things that cannot, be named as callbacks."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskqueue.callbacks import name_of

system = os.system
functools_wraps = functools.wraps
partial = functools.partial(name_of, "x")
anonymous = lambda ctx: ctx  # noqa: E731
constant = 42


def function(ctx: Any, *args: Any) -> tuple[Any, ...]:
    return (ctx, *args)


async def coroutine_function(ctx: Any) -> None:
    pass


def replaced(ctx: Any) -> str:
    return "the first"


first_replaced = replaced


def replaced(ctx: Any) -> str:  # type: ignore[no-redef]
    return "the second"


def gone(ctx: Any) -> None:
    pass


lost = gone
del gone


def make_closure() -> Callable[..., Any]:
    def closure(ctx: Any) -> None:
        pass

    return closure


def careful(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@careful
def decorated(ctx: Any) -> Any:
    return ctx


@functools.lru_cache
def cached(ctx: Any) -> Any:
    return ctx


class Callable_:
    def __call__(self, ctx: Any) -> None:
        pass


class Broken(type):
    @property
    def late(cls) -> Any:
        raise RuntimeError("not today")


class Group(metaclass=Broken):
    attribute = 42

    @staticmethod
    def static(ctx: Any) -> Any:
        return ctx

    @classmethod
    def for_class(cls, ctx: Any) -> Any:
        return cls, ctx

    def for_instance(self, ctx: Any) -> None:
        pass

    class Inner:
        @staticmethod
        def static(ctx: Any) -> Any:
            return ctx


class SubGroup(Group):
    pass


class ForeignClass(Path):
    """Its inherited methods were defined elsewhere."""


instance = Callable_()
bound = Group().for_instance
from_keys = dict.fromkeys
