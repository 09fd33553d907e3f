"""The module whose tasks may run. As in any module, there are things in reach that are none of its tasks."""

from __future__ import annotations

import builtins
import functools
import os
import sys
from os import system
from subprocess import getoutput
from typing import Any

from tests.security import gadgets
from tests.security.gadgets import Gadget, leave_mark

__all__ = ["builtins", "functools", "gadgets", "getoutput", "os", "sys", "system"]

#: What the tasks of the present test have done.
effects: list[Any] = []

#: What the tasks below answer, say or report; it goes in by this way because not everything can be stored.
answers: list[Any] = []

evaluate = eval
bound = functools.partial(leave_mark)
alias = leave_mark
made = object.__new__(Gadget)
makers = {"leave": leave_mark}


def good(ctx: Any, *values: Any, **more: Any) -> None:
    """Leave a trace."""
    effects.extend(values)


def fail(ctx: Any, text: str = "failed on purpose") -> None:
    """Fail with a text."""
    raise ValueError(text)


def answer(ctx: Any) -> Any:
    """Return what stands there."""
    return answers[0]


def fail_with(ctx: Any) -> None:
    """Fail with the text that stands there."""
    raise ValueError(answers[0])


def report(ctx: Any) -> None:
    """Report the text that stands there."""
    ctx.report(1, 2, answers[0])


class Holder:
    """A class with more in reach than its own."""

    inherited = staticmethod(leave_mark)
    inner = Gadget

    def method(self) -> None:
        """Needs an instance."""
