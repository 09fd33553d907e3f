"""Background runs, as a worker sees them: it keeps their record while it works, and carries out their last step."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from ..execution.attempt import Attempt
from ..item import QueueItem
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase, process
from ..runner import Runner
from ..runs.recorder import Recorder
from ..runs.state import RunState
from ..runs.store import Runs
from ..storage import runs
from .rota import Line


def background_runs(queues: Sequence[BatchQueue]) -> Mapping[str, frozenset[str]]:
    """The runs that go on in the background on some queues of one database; by queue, their ids."""
    stored = {queue.name: queue for queue in queues if isinstance(queue, SqlBase)}
    found: dict[str, frozenset[str]] = {}
    for queue in list(stored.values())[:1]:
        for run in _running(queue, list(stored)):
            found[run.queue_name] = found.get(run.queue_name, frozenset()) | {run.id}
    return found


def finish_runs(queue: BatchQueue) -> None:
    """A queue was found empty: carry out the last step of its background runs, each by one worker alone."""
    if not isinstance(queue, SqlBase) or queue.number_of_items():
        return
    for run in _running(queue, [queue.name]):
        recorder = _recorder(queue, run.id)
        if recorder.join():
            Runner.of_run(queue, run).finish(recorder)


def _running(queue: SqlBase, names: Sequence[str]) -> list[RunState]:
    rows = queue.database.statement(lambda tx: runs.running(tx, names), write=False)
    found = [RunState.of(row, queue.settings.codec) for row in rows]
    return [run for run in found if run.definition.is_background]


def _recorder(queue: SqlBase, run_id: str) -> Recorder:
    driver = f"{process.token}.{threading.get_ident():x}"
    return Recorder(Runs.of(queue), queue, run_id, driver=driver, label=process.label, lasting=0.0)


class Following:
    """What one thread does for the background runs of a queue is told to their records. A context manager."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: frozenset[str] = frozenset()
        self._recorders: dict[str, Recorder] = {}

    def __enter__(self) -> Following:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Store all that happened."""
        self._change(frozenset())

    def began(self, item: QueueItem) -> None:
        """An item is in hand."""
        if self._line.runs != self._known:
            self._change(self._line.runs)
        for recorder in self._recorders.values():
            recorder.began(item)

    def reported(self, done: float, total: float | None, message: str) -> None:
        """The item in hand says how far it is."""
        for recorder in self._recorders.values():
            recorder.reported(done, total, message)

    def ended(self, attempt: Attempt) -> None:
        """The item in hand came to this."""
        for recorder in self._recorders.values():
            if attempt.is_put_off:
                recorder.put_off()
            else:
                recorder.ended(attempt.item, attempt.outcome, attempt.error)

    def _change(self, wanted: frozenset[str]) -> None:
        for run_id in self._recorders.keys() - wanted:
            self._recorders.pop(run_id).__exit__(None, None, None)
        for run_id in wanted - self._recorders.keys():
            recorder = _recorder(self._line.queue, run_id) if isinstance(self._line.queue, SqlBase) else None
            if recorder is not None and recorder.join():
                self._recorders[run_id] = recorder.__enter__()
        self._known = wanted
