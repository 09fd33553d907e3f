"""Looks, in a thread of its own, for what the threads of a worker may do next.

On SQLite it may have to wait for the transaction of a task, on a server for a statement that hangs; whoever watches
over the worker must not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

from ..errors import TaskQueueError
from ..execution.calls import check_handler
from ..periodic import tick
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..storage.wake import Watch, open_watch, queues_with_work
from . import roster
from .depths import Depths
from .rota import Rota
from .runs import background_runs

_log = logging.getLogger(__name__)
#: So often (seconds) it is looked which queues there are and what has become due.
_LOOK_EVERY = 1.0
#: The longest wait (seconds) for work of others, so that a request to stop is heard soon.
_WATCH = 0.2
#: While nobody waits for work: how soon (seconds) that is noticed.
_TICK = 0.005
#: So often (seconds) it is asked whether what is to be drained is drained.
_REST_EVERY = 0.05


class Lookout:
    """Keeps the rota up to date until ``stop`` is set.

    Arguments:
        names: the queues to serve; None: all active ones with ``agent="server"``.
        threads: how many threads the worker has, for the roster.
        until: "" to look for ever; "drained" or "nothing": see :attr:`is_done`.
        uses_database: whether there is more than queues of this process.
        by_executor: whether an executor makes the calls, which not every payload allows.
        meanwhile: called several times a second; may wait for the database, as all that is done here.
    """

    def __init__(
        self, service: QueueService, rota: Rota, names: Sequence[str] | None, threads: int, until: str,
        stop: threading.Event, *, uses_database: bool, by_executor: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._meanwhile = meanwhile
        self._uses_database = uses_database
        self._by_executor = by_executor
        self._service = service
        self._rota = rota
        self._names = names
        self._threads = threads
        self._until = until
        self._stop = stop
        self._refused: set[str] = set()
        self._has_looked = False
        self._depths = Depths(service)
        #: Whether all queues are drained, or nothing can be had from them: what ``until`` asked for.
        self.is_done = False

    def run(self) -> None:
        """Look until stopped; errors of the database are logged, and it is looked again."""
        with self._service.database.hold() if self._uses_database else nullcontext():
            watch: Watch | None = None
            try:
                while not self._stop.is_set():
                    self._try(self._look)
                    self._try(self._sweep)
                    self._try(self._follow_trends)
                    end = time.monotonic() + _LOOK_EVERY
                    while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
                        watch = watch or self._open()
                        self._listen(watch, min(left, _WATCH))
                        self._try(self._rest)
                        self._try(self._meanwhile)
            finally:
                if watch is not None:
                    watch.close()
                self._try(partial(self._say, "stopping"))

    def _try(self, look: Callable[[], None]) -> None:
        try:
            look()
        except TaskQueueError as error:
            _log.warning("looking for work failed and is tried again: %s", error)
            self._stop.wait(_WATCH)
        except BaseException:  # whatever it was, the next look must come
            _log.exception("looking for work failed and is tried again")
            self._stop.wait(_WATCH)

    # --- once a second ---

    def _look(self) -> None:
        queues = [queue for queue in self._service.served(self._names) if self._can_serve(queue)]
        self._rota.serve(queues, background_runs(queues))
        self._say("serving")
        if self._uses_database:
            watched = self._rota.watched()
            tick(self._service)
            for name in self._service.database.statement(lambda tx: queues_with_work(tx, watched), write=False):
                self._rota.ring(name)
        self._has_looked = True

    def _sweep(self) -> None:
        operations = self._service.settings.operations
        if operations is not None and self._uses_database:
            operations.sweep()

    def _follow_trends(self) -> None:
        if self._uses_database:
            self._service.database.trends.flush_if_due()
            self._depths.look([queue.name for queue in self._rota.queues if isinstance(queue, SqlBase)])

    def _say(self, state: str) -> None:
        if self._uses_database:
            names = [queue.name for queue in self._rota.queues]
            roster.sign_of_life(self._service, names, self._threads, state)

    def _can_serve(self, queue: BatchQueue) -> bool:
        try:
            check_handler(queue, by_executor=self._by_executor)
            return queue.is_active()
        except TaskQueueError as error:
            if queue.name not in self._refused:
                _log.warning("queue %s is not served here: %s", queue.name, error)
                self._refused.add(queue.name)
            return False

    # --- in between ---

    def _open(self) -> Watch | None:
        return open_watch(self._service.database, self._stop) if self._uses_database else None

    def _listen(self, watch: Watch | None, seconds: float) -> None:
        if self._until:
            seconds = min(seconds, _REST_EVERY)
        if watch is None or not self._rota.has_idle_threads:  # news keep
            self._stop.wait(min(seconds, _TICK))
            return
        try:
            for name in watch.wait(self._rota.watched, seconds):
                self._rota.ring(name)
        except Exception as error:  # a driver's own, on a connection that is not ours alone
            _log.warning("listening for work failed and is tried again: %s", error)
            self._stop.wait(_WATCH)

    def _rest(self) -> None:
        if not self._until or not self._has_looked or not self._rota.is_at_rest:
            return
        self.is_done = self._until == "nothing" or all(queue.is_drained() for queue in self._rota.queues)
