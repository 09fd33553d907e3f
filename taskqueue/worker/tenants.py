"""Workers for an outbox whose tenants have databases of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import SpecError, TaskQueueError
from ..outbox.outbox import Outbox
from ..spec import shown
from .worker import Worker

_log = logging.getLogger(__name__)
#: So often (seconds) it is looked for tenants that are new, and whether to end.
_LOOK_EVERY, _TICK = 1.0, 0.05
#: A tenant whose worker failed (its database may be away) is tried again after so many seconds.
_AGAIN = 5.0


class TenantWorkers:
    """Serves the outbox of each tenant with a :class:`Worker` in a thread of its own, so that what a quiet tenant has
    left over is found without a new message. Made for some dozens of tenants; more are shared out among processes.

    Arguments:
        outbox: one with ``tenants``.
        tenants: ``tenants()`` gives the names of those to serve; it is asked once a second, so that new ones are served
            and others are not any more. None: :meth:`Outbox.known_tenants`.
        options: those of each :class:`Worker`, such as ``threads``; not ``processes``.

    Raises :class:`SpecError`.
    """

    def __init__(self, outbox: Outbox, tenants: Callable[[], Iterable[str]] | None = None, **options: Any) -> None:
        if not isinstance(outbox, Outbox):
            raise SpecError(f"TenantWorkers take an Outbox, not {shown(outbox)}")
        if options.get("processes") is not None:
            raise SpecError("the workers of tenants are threads of one process: for more, start it several times")
        Worker(outbox.queue_service, **options)  # refused here, and not in a thread
        self._outbox = outbox
        self._tenants = tenants or outbox.known_tenants
        self._options = options
        self._wanted: set[str] = set()
        self._workers: dict[str, Worker] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._asked = 0

    def run(self) -> None:
        """Serve until :meth:`stop`. What goes wrong with one tenant stops no other."""
        try:
            while not self._asked:
                self._look()
                self._rest(_LOOK_EVERY)
        finally:
            self._asked = self._asked or 1
            while self._end_those(set(self._threads)):
                time.sleep(_TICK)
            self._asked = 0

    def stop(self, *, now: bool = False) -> None:
        """Ask all to end after the items in hand; ``now``: at once. Safe in a signal handler."""
        self._asked = 2 if now else max(self._asked, 1)

    def _look(self) -> None:
        try:
            self._wanted = set(self._tenants())
        except Exception:  # those that are known are served on
            _log.exception("the names of the tenants cannot be had, and are asked for again")
        self._end_those(self._threads.keys() - self._wanted)
        for name in sorted(self._wanted - self._threads.keys()):
            thread = threading.Thread(target=self._serve, args=(name,), name=f"taskqueue-tenant-{name}", daemon=True)
            self._threads[name] = thread
            thread.start()

    def _end_those(self, names: set[str]) -> bool:
        """Whether some are still at work."""
        for name in names:
            if name in self._workers:
                self._workers[name].stop(now=self._asked > 1)
            if not self._threads[name].is_alive():
                del self._threads[name]
        return bool(names & self._threads.keys())

    def _rest(self, seconds: float, name: str | None = None) -> None:
        end = time.monotonic() + seconds
        while not self._is_over(name) and time.monotonic() < end:
            time.sleep(_TICK)

    def _is_over(self, name: str | None) -> bool:
        return self._asked > 0 or (name is not None and name not in self._wanted)

    # --- a thread ---

    def _serve(self, name: str) -> None:
        while not self._is_over(name):
            try:
                worker = Worker(self._outbox.for_tenant(name).queue_service, **self._options)
                self._workers[name] = worker
                if not self._is_over(name):
                    worker.run()
            except TaskQueueError as error:
                _log.warning("tenant %s is not served, and tried again: %s", name, error)
            except BaseException:  # whatever it was, it concerns this tenant alone
                _log.exception("tenant %s is not served, and tried again", name)
            self._rest(_AGAIN, name)
        self._workers.pop(name, None)
