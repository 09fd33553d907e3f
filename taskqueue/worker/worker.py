"""``Worker``: what an application, or ``taskqueue work``, starts to have queues processed in the background."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from ..errors import SpecError
from ..queues.sql_base import process
from ..service import QueueService
from ..spec import check_name, shown
from .budget import Budget
from .crew import Crew, Orders
from .processes import Supervisor


@dataclass(frozen=True)
class WorkerReport:
    """What a worker did until it ended."""

    #: How many attempts it made.
    executed: int
    #: "stopped", "drained", "spent" (``max_items`` or ``max_seconds``), "memory" or "nothing".
    ended_by: str


class Worker:
    """Serves queues until it is stopped. What it holds is renewed; what it cannot finish it gives back.

    Arguments:
        service: the service whose queues are served.
        queues: names of queues; None: all active ones with ``agent="server"``.
        threads: so many items are executed at a time by one process.
        processes: forks so many processes; None: works in this one. Only a forked process with one thread can end a
            task that exceeds its queue's ``lease_time`` and does not listen to ``ctx.should_stop``.
        executor: a :class:`concurrent.futures.Executor` to which calls are handed, or the name of one, which each
            process opens for itself (see :func:`open_executor`).
        grouped: completions are committed in groups of up to 100: for quick tasks that may be repeated. A crash repeats
            what was finished in the last milliseconds.
        prefetch: at most so many items are leased ahead by a thread; None: the service's setting.
        grace: seconds that items in hand may go on after :meth:`stop`, before they are given back.
        max_items, max_seconds: end after so many attempts; begin none after so many seconds.
        max_memory: a process that has more bytes in use ends in good order; a forked one is replaced.

    Raises :class:`SpecError` on unusable arguments.
    """

    def __init__(
        self,
        service: QueueService,
        queues: Iterable[str] | None = None,
        *,
        threads: int = 1,
        processes: int | None = None,
        executor: Executor | str | None = None,
        grouped: bool = False,
        prefetch: int | None = None,
        grace: float = 30.0,
        max_items: int | None = None,
        max_seconds: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        if not isinstance(service, QueueService):
            raise SpecError(f"a Worker takes a QueueService, not {shown(service)}")
        if isinstance(queues, str):
            raise SpecError(f"queues must be a list of names, not {shown(queues)}")
        numbers = {"threads": threads, "processes": processes, "prefetch": prefetch, "max_items": max_items,
                   "max_memory": max_memory}  # fmt: skip
        for name, value in numbers.items():
            _check_whole(name, value, optional=name != "threads")
        for name, seconds in (("grace", grace), ("max_seconds", max_seconds)):
            _check_seconds(name, seconds, optional=name != "grace")
        if processes is not None and isinstance(executor, Executor):
            raise SpecError("forked processes cannot share an executor: name it, as in executor='processes:4'")
        self._service = service
        names = tuple(check_name(name) for name in queues) if queues is not None else None
        self._orders = Orders(names or None, threads, prefetch, grouped, executor, float(grace), max_memory)
        self._processes = processes
        self._limits = max_items, max_seconds
        self._at_work: Crew | Supervisor | None = None
        self._asked = 0

    def run(self) -> WorkerReport:
        """Serve until :meth:`stop`, or until a limit is reached."""
        return self._run(self._orders, Budget(*self._limits, self._processes or 1))

    def drain(self) -> WorkerReport:
        """Serve until all queues are empty, those of retries included; what a user has delayed is not waited for."""
        return self._run(replace(self._orders, until="drained"), Budget(*self._limits, self._processes or 1))

    def run_once(self) -> bool:
        """Execute one item, if one can be had; whether there was one."""
        report = self._run(replace(self._orders, until="nothing"), Budget(1, self._limits[1], self._processes or 1))
        return report.executed > 0

    def stop(self, *, now: bool = False) -> None:
        """Ask it (from another thread or a signal handler) to end after the items in hand; ``now``: at once."""
        self._asked = 2 if now else max(self._asked, 1)
        if self._at_work is not None:
            self._at_work.stop(now=now)

    def _run(self, orders: Orders, budget: Budget) -> WorkerReport:
        process.program = process.program or "taskqueue worker"
        try:
            while (ended_by := self._serve(orders, budget)) == "broken":
                budget.forget_taken()
            return WorkerReport(budget.executed, ended_by)
        finally:
            self._at_work, self._asked = None, 0
            budget.close()

    def _serve(self, orders: Orders, budget: Budget) -> str:
        """Until it ends; why it did."""
        if self._processes is None:
            self._at_work = Crew(self._service, orders, budget)
        else:
            self._at_work = Supervisor(self._service, orders, budget, self._processes)
        if self._asked:
            self._at_work.stop(now=self._asked > 1)
        self._at_work.run()
        return self._at_work.ended_by


def _check_whole(name: str, value: Any, *, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpecError(f"{name} must be a whole number of at least 1, not {shown(value)}")


def _check_seconds(name: str, value: Any, *, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise SpecError(f"{name} must be seconds, not {shown(value)}")
