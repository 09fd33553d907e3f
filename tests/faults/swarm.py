"""``taskqueue work``, started several times on the queues of a stage, and stopped by SIGTERM."""

from __future__ import annotations

from sqlalchemy import text

from taskqueue.storage.presence import TOKEN_LENGTH
from taskqueue.storage.schema import LEASED
from taskqueue.worker import roster
from tests.faults import tasks
from tests.faults.history import wait_until
from tests.faults.stage import Child, Stage
from tests.servers import children


class Swarm:
    """Commands that serve all queues, each with so many processes and these options, and run what is allowed."""

    def __init__(self, stage: Stage, processes: int, *options: str, allow: str = tasks.__name__) -> None:
        self._stage = stage
        self._processes = processes
        self._options = ("--allow", allow, "--processes", str(processes), *options)
        #: Those that have not ended, the oldest first.
        self.workers: list[Child] = []

    def start(self, *options: str) -> Child:
        """Start one more."""
        self.workers.append(self._stage.start("command", arguments=("work", *self._options, *options)))
        return self.workers[-1]

    def owner(self, pid: int) -> Child:
        """The worker that has forked that process."""
        (found,) = (worker for worker in self.workers if pid in children(worker.pid))
        return found

    def stop(self, *workers: Child) -> None:
        """Ask them to end: each does so in good order, with exit code 0, and nothing stays leased by it."""
        tokens = {worker.pid: self._tokens(worker) for worker in workers}
        for worker in workers:
            worker.terminate()
        for worker in workers:
            self.wait_until_done(worker)
            left = self._leased_by(tokens[worker.pid])
            assert left == 0, f"it has left {left} items leased: {worker.log_text()}"

    def wait_until_done(self, worker: Child) -> None:
        """Wait until one has ended by itself, or because it was asked to."""
        worker.wait_until_done()
        self.workers.remove(worker)

    def _tokens(self, worker: Child) -> set[str]:
        """What begins the name under which its processes hold items; waits until all have begun to serve."""

        def look() -> bool:
            pids = children(worker.pid)
            found.update(info.token for info in roster.workers(self._stage.service) if info.pid in pids)
            return len(found) == self._processes

        found: set[str] = set()
        wait_until(look, "all processes of the worker serve", worker.log_text)
        return found

    def _leased_by(self, tokens: set[str]) -> int:
        with self._stage.service.engine.connect() as connection:
            holders = connection.scalars(text(f"SELECT holder FROM taskqueue_item WHERE state = {LEASED}")).all()
        return sum(holder[:TOKEN_LENGTH] in tokens for holder in holders)
