"""The processes of a worker: forked, watched, replaced when they die, and ended in good order."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import ConfigurationError
from ..service import QueueService
from .budget import Budget
from .crew import OVERDUE, Crew, Orders

_log = logging.getLogger(__name__)
#: How a child says that it ended because of its memory, or of a thread that died, and that it cannot do its work.
RECYCLE, BROKEN, REFUSED = 75, 77, 78
_ENDINGS = {0: "stopped", 10: "drained", 11: "spent", 12: "nothing"}
_REASONS = {
    RECYCLE: "has used up its memory", BROKEN: "has lost a thread", OVERDUE: "exceeded a task's lease_time",
}  # fmt: skip
_CODES = {text: code for code, text in _ENDINGS.items()} | {"memory": RECYCLE, "broken": BROKEN}
#: A child that says nothing for so long (seconds) hangs, and is killed; its leases end by then.
_SILENT = 30.0
#: The pause (seconds) before a child that died is replaced; it doubles while they die young.
_PAUSE, _LONGEST_PAUSE, _YOUNG = 0.1, 30.0, 5.0
_TICK = 0.05
#: A look at the children that comes so late (seconds) says nothing about them.
_PAUSED = 0.5


@dataclass
class _Child:
    pid: int
    #: Where its signs of life come out: dots, and why it cannot do its work.
    pipe: int
    #: Where it counts what it has begun.
    place: int
    born: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps so many processes at work; has no thread and no connection of its own, so that it can fork at any time."""

    def __init__(self, service: QueueService, orders: Orders, budget: Budget, number: int) -> None:
        self._service = service
        self._orders = orders
        self._budget = budget
        self._number = number
        self._children: dict[int, _Child] = {}
        self._asked = 0
        self._sent = 0
        self._heard = time.monotonic()
        self._refusal = ""
        self._pause = _PAUSE
        self._next_birth = 0.0
        self._missing = number
        self.ended_by = ""

    def stop(self, *, now: bool = False) -> None:
        """See :meth:`Crew.stop`."""
        self._asked = 2 if now else max(self._asked, 1)

    def run(self) -> None:
        """Keep them at work until stopped, or until all have ended by themselves.

        Raises :class:`ConfigurationError` when they cannot do their work as things are.
        """
        self._service.close()  # no child shall inherit a connection
        try:
            while self._children or (self._missing and not self._asked):
                self._replace()
                self._pass_on()
                self._hear()
                self._bury()
                if self._refusal:
                    self.stop()
        finally:
            for child in self._children.values():
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
        if self._refusal:
            raise ConfigurationError(self._refusal)
        self.ended_by = self.ended_by or "stopped"

    def _replace(self) -> None:
        while self._missing and not self._asked and time.monotonic() >= self._next_birth:
            self._missing -= 1
            places = {child.place for child in self._children.values()}
            place = next(number for number in range(self._number) if number not in places)
            child = _fork(self._service, self._orders, self._budget, place)
            self._children[child.pid] = child

    def _pass_on(self) -> None:
        """Tell the children what was asked for: one thing in a tick, because two signals at once may arrive as one."""
        if self._sent < self._asked:
            self._sent += 1
            for child in self._children.values():
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)

    def _hear(self) -> None:
        pipes = {child.pipe: child for child in self._children.values()}
        ready, _none, _nothing = select.select(list(pipes), [], [], _TICK)
        before, self._heard = self._heard, time.monotonic()
        moment = self._heard
        if moment - before > _PAUSED:  # it is this process that was stopped for a while, not the children
            for child in self._children.values():
                child.heard = moment
        for pipe in ready:
            said = os.read(pipe, 4096)
            pipes[pipe].heard = moment if said else pipes[pipe].heard
            self._refusal += said.strip(b".").decode()
        if ready:
            time.sleep(_TICK)  # they say something many times a second; once is enough
        for child in self._children.values():
            if moment - child.heard > _SILENT:
                _log.error("worker process %d hangs and is killed", child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.heard = moment

    def _bury(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            self._refusal = self._refusal or _rest_of(child.pipe)
            os.close(child.pipe)
            del self._children[pid]
            self._budget.forget_taken()
            self._note(child, os.waitstatus_to_exitcode(status))

    def _note(self, child: _Child, code: int) -> None:
        if code in _ENDINGS:
            self.ended_by = _ENDINGS[code]
            return
        if self._asked or code == REFUSED:
            return
        self._missing += 1
        how = _REASONS.get(code) or f"died ({_cause(code)})"
        _log.warning("worker process %d %s and is replaced", child.pid, how)
        is_young = time.monotonic() - child.born < _YOUNG and code != OVERDUE
        self._pause = min(self._pause * 2, _LONGEST_PAUSE) if is_young else _PAUSE
        self._next_birth = time.monotonic() + self._pause


def _rest_of(pipe: int) -> str:
    said = b""
    while more := os.read(pipe, 4096):  # its writer is dead, so that this ends
        said += more
    return said.strip(b".").decode()


def _cause(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _fork_frozen() -> int:
    """Fork. What is there by now stays there, and shared: each full collection of the child would go through it, and
    copy it."""
    is_frozen, pid = gc.get_freeze_count() > 0, -1
    gc.freeze()
    try:
        pid = os.fork()
        return pid
    finally:
        if pid and not is_frozen:  # here, also when there is no child
            gc.unfreeze()


def _fork(service: QueueService, orders: Orders, budget: Budget, place: int) -> _Child:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # A signal that comes before the child has its own handlers would be answered by those of its parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    parent = os.getpid()
    try:
        pid = _fork_frozen()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)
        os.close(writing)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)
        return _Child(pid, reading, place)
    code = 70
    budget.place = place
    try:
        os.close(reading)
        code = _work(Crew(service, orders, budget, is_forked=True), writing, parent, before)
    except ConfigurationError as error:  # the next one could not do better
        os.write(writing, str(error).encode())
        code = REFUSED
    except BaseException:
        _log.exception("a worker process failed")
    finally:
        logging.shutdown()
        os._exit(code)  # what the parent has registered for its own exit is not ours


def _work(crew: Crew, pipe: int, parent: int, mask: set[int]) -> int:
    asked = 0

    def stop(number: int, frame: object) -> None:
        nonlocal asked
        asked += 1
        crew.stop(now=asked > 1)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of the terminal; the parent passes it on
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    crew.run(_beat(crew, pipe, parent))
    return _CODES.get(crew.ended_by, 0)


def _beat(crew: Crew, pipe: int, parent: int) -> Callable[[], None]:
    """Says that this process is alive, and ends it when its parent has died."""

    def beat() -> None:
        if os.getppid() != parent:
            crew.stop()
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(pipe, b".")

    return beat
