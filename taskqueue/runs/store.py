"""Finding and making runs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import RunMovedOn, RunNotFound
from ..payload import Codec
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..serializer import storable
from ..storage import registry, runs
from ..storage.runs import LogLine
from ..storage.transaction import Transaction
from .on_record import seen
from .state import Definition, RunState

if TYPE_CHECKING:
    from ..storage.database import Database

Answer = TypeVar("Answer")
#: Runs that ended so long ago (ms) are removed when another begins, so many at a time.
_KEPT = 30 * 86_400_000
_REMOVED_AT_ONCE = 20


class Runs:
    """The runs in one database.

    Arguments:
        database: the database.
        codec: packs and signs what a run was asked to do.
    """

    def __init__(self, database: Database, codec: Codec) -> None:
        self.database = database
        self._codec = codec

    @classmethod
    def of(cls, queue: SqlBase) -> Runs:
        """The runs beside a queue."""
        return cls(queue.database, queue.settings.codec)

    def create(self, queue: BatchQueue, definition: Definition, *, owner: str = "", start: bool = True) -> RunState:
        """Store a new run, as running or as ready; old ones that ended long ago are removed."""
        new = self._new(queue, definition, owner=owner, start=start)
        self.database.transaction(lambda tx: self._add(tx, new))
        return self.get(new["id"])

    def _new(self, queue: BatchQueue, definition: Definition, *, owner: str, start: bool) -> dict[str, Any]:
        run_id = secrets.token_hex(16)
        return {
            "id": run_id,
            "queue_name": queue.name,
            "owner": owner,
            "definition": definition.pack(self._codec, queue.name, run_id),
            "status": "running" if start else "ready",
            "items": queue.number_of_items(),
        }

    def _add(self, tx: Transaction, new: dict[str, Any]) -> str:
        run_id: str = new["id"]
        if not (tx.unsure and runs.find(tx, run_id)):
            runs.add(tx, **new)
            runs.write(tx, run_id, [line("created" if new["status"] == "ready" else "started", "")])
            runs.remove_old(tx, _KEPT, _REMOVED_AT_ONCE)
        return run_id

    def carry_on(self, queue: BatchQueue, definition: Definition, run_id: str | None, *, owner: str = "") -> RunState:
        """The run ``run_id``, or (None) the latest open one of this owner with this definition, set running.

        Where there is none it is a new one, as it always is for "". Two that ask at the same moment get the same run.
        Raises :class:`RunMovedOn` when the run ``run_id`` ended meanwhile: its last step must not go again.
        """
        new = self._new(queue, definition, owner=owner, start=True)

        def is_meant(run: RunState) -> bool:
            if run_id is not None:
                return run.id == run_id
            is_alike = run.definition.as_begun() == definition.as_begun()
            return run.owner == owner and run.status != "finishing" and is_alike

        def begin(tx: Transaction) -> str:
            registry.lock(tx, queue.name)
            standing = (RunState.of(row, self._codec) for row in runs.of_queue(tx, queue.name))
            run = next(filter(is_meant, standing), None)
            if run is None and run_id:
                raise RunMovedOn("the run has ended meanwhile")
            if run is None:
                return self._add(tx, new)
            started = "start_time = CASE WHEN start_time = 0 THEN {now} ELSE start_time END"
            if runs.change(tx, run.id, f"status = 'running', problem = NULL, {started}", "status <> 'finishing'"):
                runs.write(tx, run.id, [line("resumed", "")])
            return run.id

        return self.get(self.database.transaction(begin))

    def get(self, run_id: str) -> RunState:
        """The run. Raises :class:`RunNotFound`."""
        row = self.database.statement(lambda tx: runs.find(tx, run_id), write=False) if _is_id(run_id) else None
        return RunState.of(_found(row, run_id), self._codec)

    def status(self, run_id: str) -> str:
        """The status of the run, which is read in a fraction of the time. Raises :class:`RunNotFound`."""
        return _found(self.database.statement(lambda tx: runs.status_of(tx, run_id), write=False), run_id)

    def open_runs(self, queue_name: str) -> list[RunState]:
        """The runs of a queue that are not at their end, newest first."""
        rows = self.database.statement(lambda tx: runs.of_queue(tx, queue_name), write=False)
        return [RunState.of(row, self._codec) for row in rows]

    def latest(self, limit: int = 50, queue_name: str | None = None) -> list[RunState]:
        """The latest runs of all queues, or of one, newest first, with all failures that are on record."""

        def read(tx: Transaction) -> list[RunState]:
            rows = runs.latest(tx, limit=limit, queue_name=queue_name)
            return [seen(tx, RunState.of(row, self._codec)) for row in rows]

        return self.database.statement(read, write=False)

    def log(self, run_id: str, after: int = 0, limit: int = 50, level: str | None = None) -> list[LogLine]:
        """The latest ``limit`` lines of a run's log after the line with the id ``after``, oldest first."""
        return self.database.statement(lambda tx: runs.log(tx, run_id, after, limit, level=level), write=False)

    def log_page(self, run_id: str, after: int, limit: int) -> list[LogLine]:
        """Up to ``limit`` lines after the one with the id ``after``, oldest first."""
        return self.database.statement(lambda tx: runs.log_page(tx, run_id, after, limit), write=False)

    def failures(self, run_id: str, limit: int = 50) -> list[LogLine]:
        """The first items that failed for good, and were not tried again since."""
        return self.database.statement(lambda tx: runs.failed(tx, run_id, limit), write=False)


def line(kind: str, message: str, *, level: str = "info", item_id: int | None = None) -> dict[str, object]:
    """A line for the log."""
    return {"level": level, "kind": kind, "item_id": item_id, "message": storable(message)}


def _found(answer: Answer | None, run_id: str) -> Answer:
    if answer is None:
        raise RunNotFound(f"there is no run {run_id!r}: it ended long ago, or never was")
    return answer


def _is_id(run_id: str) -> bool:
    return len(run_id) == 32 and run_id.isascii() and run_id.isalnum()
