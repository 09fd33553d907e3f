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


class Holder:
    """A class with more in reach than its own."""

    inherited = staticmethod(leave_mark)
    inner = Gadget

    def method(self) -> None:
        """Needs an instance."""
