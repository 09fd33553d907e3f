"""Tells those in this process who wait for work that there may be some."""

from __future__ import annotations

from collections.abc import Callable

from .forks import inherit

Listener = Callable[[str], None]


class Bell:
    """Rung with the name of a queue. Without listeners, as in a process that only fills queues, it costs nothing."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: the threads that listened are not there, but one of them may have held its lock."""
        self._listeners = ()

    def ring(self, queue_name: str) -> None:
        """Something in that queue may have become ready."""
        for listener in self._listeners:
            listener(queue_name)

    def listen(self, listener: Listener) -> None:
        """Call ``listener(queue_name)`` from now on, from whatever thread rings."""
        self._listeners += (listener,)

    def leave(self, listener: Listener) -> None:
        """Call it no more."""
        self._listeners = tuple(other for other in self._listeners if other != listener)
