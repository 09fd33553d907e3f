"""Tells what lives long that the process was forked: a child has its locks, and none of the threads that hold them."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """What a forked child goes on using."""

    def forget_parent(self) -> None:
        """In the child: make the locks anew, and put right what another thread was in the middle of."""


_inherited: WeakSet[Inherited] = WeakSet()


def inherit(one: Inherited) -> None:
    """Call ``one.forget_parent()`` in all children that are forked from now on, as long as it lives."""
    _inherited.add(one)


def _in_child() -> None:
    for one in list(_inherited):
        one.forget_parent()


os.register_at_fork(after_in_child=_in_child)
