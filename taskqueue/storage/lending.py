"""Which connection a thread uses: the one it holds, one that was in use a moment ago, or one of the pool's.

The pool's checkout costs about as much as a quick statement.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .channel import Channel

#: A connection is back in its pool after so many seconds, where it is looked whether it is still good.
_LENT = 1.0


class _Local(threading.local):
    #: Whether this thread keeps a channel, and which, once it has one.
    is_held = False
    channel: Channel | None = None


class Lending:
    """The channels of one database.

    Arguments:
        open_channel: gets one from the pool.
        keeps: whether they are ours to keep for a moment between two uses.
    """

    def __init__(self, open_channel: Callable[[], Channel], *, keeps: bool) -> None:
        self._open = open_channel
        self._keeps = keeps
        self._local = _Local()
        self._free: deque[Channel] = deque()

    @property
    def is_held(self) -> bool:
        """Whether this thread keeps one."""
        return self._local.is_held

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let this thread keep one connection for all it does inside the block."""
        self._local.is_held = True
        try:
            yield
        finally:
            kept: Channel | None = self._local.channel
            self._local.channel, self._local.is_held = None, False
            if kept is not None:
                kept.close()

    def take(self) -> Channel:
        """A channel for this thread, to be given back."""
        held = self._local.channel
        if held is not None and not held.in_transaction:  # else the transaction that is open on it is somebody else's
            return held
        while True:
            try:
                channel = self._free.pop()
            except IndexError:
                return self._open()
            if time.monotonic() - channel.opened < _LENT:
                return channel
            channel.close()

    def give_back(self, channel: Channel) -> None:
        """The thread needs it no more."""
        if channel.is_closed:
            return
        channel.used = time.monotonic()
        local = self._local
        if local.is_held and local.channel in (None, channel):
            local.channel = channel
        elif self._keeps and channel.used - channel.opened < _LENT:
            self._free.append(channel)
            if channel.is_orphaned:  # its engine was closed meanwhile, and perhaps nobody comes for it any more
                self.clear()
        else:
            channel.close()

    def drop(self, channel: Channel, *, with_older: bool) -> None:
        """Throw a channel away.

        Arguments:
            with_older: those that were opened before are no better; each may hang as long as this one.
        """
        channel.discard(with_older=with_older)
        if self._local.channel is channel:
            self._local.channel = None
        if with_older:
            self.clear(discard=True)

    def clear(self, *, discard: bool = False) -> None:
        """Give back to the pool what nobody uses at this moment, or throw it away."""
        while True:
            try:
                channel = self._free.pop()
            except IndexError:
                return
            if discard:
                channel.discard()
            else:
                channel.close()
