"""The threads of one worker process, and the thread that watches over them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import spans
from ..errors import TaskQueueError
from ..execution.attempt import Execution
from ..execution.calls import check_handler
from ..execution.context import Reporter
from ..execution.executors import open_executor
from ..execution.holding import Holding
from ..item import QueueItem
from ..service import QueueService
from . import roster
from .budget import Budget
from .lookout import Lookout
from .rota import Rota
from .turn import Hand, Turn

_log = logging.getLogger(__name__)
#: So often (seconds) it is looked whether to end.
_TICK = 0.04
#: A task that exceeds its lease_time may see ``ctx.should_stop`` for so long (seconds) before its process is ended;
#: and so long may it take to write down how it ended.
_LAST_CHANCE = 2.0
#: The exit code of a process that was ended because of its task.
OVERDUE = 76


@dataclass(frozen=True)
class Orders:
    """What a worker was told.

    Arguments:
        names: the queues to serve; None: all active ones with ``agent="server"``.
        threads: how many items are executed at a time in one process.
        prefetch: at most so many items are leased ahead by a thread; None: the service's setting.
        grouped: whether completions are committed in groups.
        executor: a :class:`concurrent.futures.Executor` that makes the calls, or the name of one (see
            :func:`open_executor`); None: the threads themselves.
        grace: seconds that items in hand may go on after a request to stop.
        max_memory: bytes of resident memory after which the process ends in good order; None: no limit.
        until: "drained": to end when all queues are drained; "nothing": when nothing can be had; "": for ever.
    """

    names: Sequence[str] | None = None
    threads: int = 1
    prefetch: int | None = None
    grouped: bool = False
    executor: Executor | str | None = None
    grace: float = 30.0
    max_memory: int | None = None
    until: str = ""


class Crew:
    """Serves queues with the threads of this process until it is stopped."""

    def __init__(self, service: QueueService, orders: Orders, budget: Budget, *, is_forked: bool = False) -> None:
        self._is_forked = is_forked
        self._may_exit = is_forked and orders.threads == 1
        self._overdue: tuple[Sequence[QueueItem], float] | None = None
        self._service = service
        self._orders = orders
        self._budget = budget
        self._executor: Executor | None = None
        self._rota = Rota()
        self._hands = [Hand() for _number in range(orders.threads)]
        self._ending = threading.Event()
        self._asked = 0
        local = {queue.name for queue in service.local_queues()}
        self._uses_database = service.uses_database and (orders.names is None or not local.issuperset(orders.names))
        self._lookout = Lookout(
            service, self._rota, orders.names, orders.threads, orders.until, self._ending,
            uses_database=self._uses_database, by_executor=orders.executor is not None, meanwhile=self._flush,
        )  # fmt: skip
        self._threads: list[threading.Thread] = []
        #: Why it ended: "stopped", "drained", "nothing", "spent", "memory" or "broken" (one of its threads has died).
        self.ended_by = ""

    def stop(self, *, now: bool = False) -> None:
        """Ask it to end after the items in hand; ``now``: without waiting for them. Safe in a signal handler."""
        self._asked = 2 if now else max(self._asked, 1)

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; ``beat`` is called several times a second.

        Raises :class:`ConfigurationError` when the Engine's pool has too few connections, or a queue was named that no
        executor can serve.
        """
        if self._orders.executor is not None and self._orders.names is not None:
            for queue in self._service.served(self._orders.names):
                check_handler(queue, by_executor=True)
        if self._asked:
            self._ending.set()  # before a thread could begin anything
        if self._uses_database:
            with self._service.database.hold():  # refused here, and not in a thread
                pass
        self._threads = [
            threading.Thread(target=self._serve, args=(hand,), name=f"taskqueue-worker-{number}", daemon=True)
            for number, hand in enumerate(self._hands)
        ]
        self._threads.append(threading.Thread(target=self._lookout.run, name="taskqueue-lookout", daemon=True))
        bell = self._service.settings.bell
        bell.listen(self._rota.ring)
        with self._open_executor() as self._executor:
            try:
                for thread in self._threads:
                    thread.start()
                self._watch_over(beat)
            finally:
                self._end(beat)
                bell.leave(self._rota.ring)

    def _open_executor(self) -> AbstractContextManager[Executor | None]:
        """Opened in the process that uses it; one that was given belongs to whoever gave it."""
        given = self._orders.executor
        return open_executor(given) if isinstance(given, str) else nullcontext(given)

    # --- a thread that works ---

    def _serve(self, hand: Hand) -> None:
        while (line := self._rota.take()) is not None:
            turn = Turn(line, self._rota, hand, self._budget, self._execution, self._ending, self._orders.prefetch)
            try:
                turn.run()
            except TaskQueueError as error:
                _log.warning("queue %s: %s", line.queue.name, error)
            except BaseException:  # a thread must not end, whatever it was
                _log.exception("queue %s: a worker thread failed and goes on", line.queue.name)

    def _execution(self, holding: Holding, reporter: Reporter) -> Execution:
        return Execution(
            holding, stop=self._ending, reporter=reporter, executor=self._executor, grouped=self._orders.grouped
        )

    def _flush(self) -> None:
        """Commit what threads have finished that are busy with the next item for long."""
        for hand in self._hands:
            execution = hand.execution
            if execution is not None:
                execution.flush(at_once=False)

    # --- the thread that watches over them ---

    def _watch_over(self, beat: Callable[[], None]) -> None:
        while not self._is_over():
            beat()
            if self._may_exit:
                self._end_overdue(self._hands[0])
            time.sleep(_TICK)

    def _is_over(self) -> bool:
        if self._asked:
            self.ended_by = "stopped"
        elif self._budget.is_spent:
            self.ended_by = "spent"
        elif self._orders.max_memory is not None and self._has_worked() and resident_memory() > self._orders.max_memory:
            self.ended_by = "memory"
        elif self._lookout.is_done:
            self.ended_by = self._orders.until
        elif dead := [thread.name for thread in self._threads if not thread.is_alive()]:
            # What it had begun may be half done (a queue taken that nobody gives back), so that all begins anew.
            _log.error("the thread %s has died: this worker ends, and begins anew", ", ".join(dead))
            self.ended_by = "broken"
        return bool(self.ended_by)

    def _has_worked(self) -> bool:
        """Whether this process has executed anything: one that is too big from the start must not end at once."""
        return any(hand.executed for hand in self._hands)

    def _end_overdue(self, hand: Hand) -> None:
        """A task that took too long and does not listen can only be ended together with its process."""
        items, holding, execution = hand.items, hand.holding, hand.execution
        if holding is None or execution is None or not any(holding.is_overdue(item) for item in items):
            self._overdue = None
            return
        if self._overdue is None or self._overdue[0] is not items:
            self._overdue = items, time.monotonic()
        elif time.monotonic() - self._overdue[1] >= _LAST_CHANCE:
            _within(_LAST_CHANCE, partial(self._abandon, items, holding, execution))
            os._exit(OVERDUE)

    def _abandon(self, items: Sequence[QueueItem], holding: Holding, execution: Execution) -> None:
        for item in items:
            execution.give_up(item)
        holding.let_go()
        roster.sign_off(self._service)
        self._service.database.trends.flush()
        spans.flush()

    # --- the end ---

    def _end(self, beat: Callable[[], None]) -> None:
        self._ending.set()
        self._rota.end()
        deadline = time.monotonic() + self._orders.grace
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline and self._asked < 2:
            beat()
            for thread in self._threads:
                thread.join(0.05)
        _within(_LAST_CHANCE, self._leave)

    def _leave(self) -> None:
        self._give_back()
        if self._uses_database:
            try:
                roster.sign_off(self._service)
            except TaskQueueError as error:
                _log.warning("could not sign off: %s", error)
            self._service.database.trends.flush()
        if self._is_forked:  # it ends without what its parent has registered for that
            spans.flush()

    def _give_back(self) -> None:
        """What is in hand after the grace period goes back to the queue; what its task still does is dropped."""
        for hand in self._hands:
            holding, execution, items = hand.holding, hand.execution, hand.items
            if holding is None:
                continue
            try:
                if execution is not None:
                    execution.flush()  # what is finished does not go back
                holding.let_go()  # what is in hand, and what was leased ahead behind it
            except TaskQueueError as error:
                _log.warning("items of queue %s could not be given back: %s", holding.queue.name, error)
            for item in items:
                _log.warning("item %s of queue %s was given back unfinished", item.id, item.queue_name)


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do it, but wait no longer: on SQLite a task may hold the write lock for ever. Leases end by themselves."""
    thread = threading.Thread(target=work, name="taskqueue-end", daemon=True)
    thread.start()
    thread.join(seconds)


def resident_memory() -> int:
    """Bytes of memory that this process has in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
