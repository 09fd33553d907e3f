"""Many clients and workers of the same operations, each with connections of its own, at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from threading import Barrier, Event, Lock, Thread
from typing import Any, TypeVar

from taskqueue import QueueService
from taskqueue.operations import FINAL, CallGone, CallNotFound, Operations

Result = TypeVar("Result")
_PATIENCE = 60


class Crowd:
    """Peers with the same operations.

    Arguments:
        register: declares the operations of one peer.
    """

    def __init__(self, url: str, register: Callable[[Operations], object], count: int = 8) -> None:
        self.services = [QueueService(url) for _ in range(count)]
        self.peers = [Operations(service) for service in self.services]
        for peer in self.peers:
            register(peer)

    def close(self) -> None:
        for service in self.services:
            service.close()

    def at_once(self, *works: Callable[[Operations], Result], count: int | None = None) -> list[Result | Exception]:
        """Let each work be done in a thread, all from the same moment on, or the one ``count`` times; their answers."""
        all_of_them = works if count is None else works * count
        barrier = Barrier(len(all_of_them))

        def start(number: int) -> Result | Exception:
            barrier.wait(_PATIENCE)
            try:
                return all_of_them[number](self.peers[number % len(self.peers)])
            except Exception as error:
                return error

        with ThreadPoolExecutor(len(all_of_them)) as pool:
            return list(pool.map(start, range(len(all_of_them))))


class Count:
    """How often, and for whom, something was done."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.done: list[Any] = []

    def add(self, what: Any) -> int:
        """Note it; how many there are now."""
        with self._lock:
            self.done.append(what)
            return len(self.done)


@contextmanager
def watched(ops: Operations, tracking_id: str) -> Iterator[list[str]]:
    """Ask for the state all the time; what was answered, each answer once, unless it changes."""
    seen: list[str] = []
    trouble: list[BaseException] = []
    ended, begun = Event(), Event()

    def look() -> str:
        try:
            return ops.get(tracking_id).state
        except (CallNotFound, CallGone) as error:
            return type(error).__name__

    def watch() -> None:
        while not ended.is_set():
            try:
                state = look()
            except BaseException as error:
                trouble.append(error)
                state = "?"
            if not seen or seen[-1] != state:
                seen.append(state)
            begun.set()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    assert begun.wait(_PATIENCE)
    try:
        yield seen
    finally:
        ended.set()
        thread.join(_PATIENCE)
    assert not trouble, trouble[0]


def goes_back(states: list[str]) -> list[tuple[str, str]]:
    """Where a call that had ended was seen in another state."""
    return [(one, other) for one, other in pairwise(states) if one in FINAL and other in STATES]


STATES = ("queued", "scheduled", "running", "retrying", *FINAL)
