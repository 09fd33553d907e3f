"""What a human may do to a run: start, pause, resume, abort, retry, skip, take over.

Each is one transaction in which the state is checked again, the effect stored and the request written down: what has
moved on meanwhile is refused, and a request that is sent again after a lost answer has no second effect. Nothing is
executed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import RunMovedOn
from ..queues import settlement
from ..queues.settlement import Settlement
from ..queues.sql_base import SqlBase
from ..serializer import storable
from ..storage import presence, registry, runs
from ..storage.runs import RunRow
from ..storage.transaction import Transaction
from . import emptying, on_record
from .look import Look
from .problems import first_line
from .state import END_STEP, Problem, RunState
from .store import line

#: ``decide(tx, item_id, fence, is_dead, is_fresh)`` carries Retry or Skip out.
_Decision = Callable[[Transaction, int, int, bool, bool], None]


class Actions:
    """The actions of one human on one run.

    Arguments:
        queue: the queue of the run.
        run_id: the run.
        actor: who acts; stands in the log.
        request_id: names the request; the same one again changes nothing.

    All raise :class:`RunMovedOn` when the state does not permit them any more; then nothing was changed.
    """

    def __init__(self, queue: SqlBase, run_id: str, *, actor: str, request_id: str) -> None:
        self._queue = queue
        self._run_id = run_id
        self._actor = storable(actor)
        self._request_id = request_id
        self._look = Look(queue, writes=True)

    # --- the run ---

    def start(self) -> None:
        """ready: running."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            self._change(tx, "status = 'running', start_time = {now}", "status = 'ready'")
            self._write(tx, "started")
            return "active"

        self._carry_out(work)

    def pause(self) -> None:
        """running: its queue is paused, for everybody; what is in hand may be finished."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            if self._look.status(tx) != "active":
                raise RunMovedOn("the run does not go on at the moment: there is nothing to pause")
            self._change(tx, "status = 'running'", "status = 'running'")
            self._write(tx, "paused")
            return "paused"

        self._carry_out(work)

    def resume(self) -> None:
        """paused: its queue becomes active again."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            status = self._look.status(tx)
            if status == "active" or self._look.question(tx, run, status) is not None:
                raise RunMovedOn("the run is not paused: it goes on, or waits for a decision")
            self._change(tx, "status = 'running', problem = NULL", "status IN ('running', 'blocked')")
            self._write(tx, "resumed")
            return "active"

        self._carry_out(work)

    def abort(self, *, skip_rest: bool = False) -> None:
        """Any open state: aborted. What is in hand may be finished; the rest stays, or is skipped on record."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            how = "status = 'aborted', problem = NULL, end_time = {now}, emptied_to = :last"
            if self._state(run).definition.is_background:
                on_record.store(tx, self._run_id)
            self._change(tx, how, last=self._queue.rows.last_id(tx) if skip_rest else 0)
            self._write(tx, "aborted", level="warning")
            return "aborted"

        self._carry_out(work)
        if skip_rest:
            emptying.skip_rest(self._queue, self._run_id)

    def take_over(self) -> None:
        """running in the background, while no worker is there: pages may drive it from now on, as any other run."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            definition = self._state(run).definition
            if not definition.is_watched or run.status != "running" or self._look.status(tx) != "active":
                raise RunMovedOn("the run is not one that waits for workers (any more)")
            if self._look.is_served(tx):
                raise RunMovedOn("a worker serves the queue by now")
            packed = replace(definition, mode="taken_over").pack(self._queue.settings.codec, run.queue_name, run.id)
            self._change(tx, "definition = :definition", definition=packed)
            self._write(tx, "by_page")
            return None

        self._carry_out(work)

    def _state(self, run: RunRow) -> RunState:
        return RunState.of(run, self._queue.settings.codec)

    # --- one item ---

    def retry(self, item_id: int, fence: int) -> None:
        """The item that failed, or waits for its retry, goes next, now."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            title = self._let_go(tx, run, item_id, fence, self._retry)
            self._write(tx, "retried", title, item_id=item_id)
            return "active"

        self._carry_out(work)

    def skip(self, item_id: int, fence: int) -> None:
        """The item that failed, or waits for its retry, leaves the queue, on record."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            title = self._let_go(tx, run, item_id, fence, self._skip)
            self._write(tx, "skipped", title, level="warning", item_id=item_id)
            return "active"

        self._carry_out(work)

    def steal(self, item_id: int, fence: int) -> None:
        """The item in hand of a holder without a sign of life is taken away from it; the run is blocked by it."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            if item_id == END_STEP:
                return self._steal_end(tx, run, fence)
            row = presence.held_item(tx, self._queue.name, item_id)
            if row is None or row.fence != fence or not self._look.is_stale(row):
                raise RunMovedOn("the item is not held by somebody without a sign of life (any more)")
            title = self._queue.title_in(row.data, row.uid, item_id)
            text = f"{row.label or 'its holder'} gave no sign of life any more"
            taken = self._queue.settle_within(tx, [(item_id, fence)], settlement.interrupt(text))
            if not taken:
                raise RunMovedOn("the item has moved on")
            if self._queue.is_sequential:
                self._queue.rows.free_others(tx, item_id)
            self._block(tx, Problem(item_id, fence + 1, title, row.failures + 1, "lost_lease", text, when=row.now))
            self._write(tx, "taken_over", title, level="warning", item_id=item_id)
            return "aborted"  # nobody claims it before the decision, whatever they drive

        self._carry_out(work)

    def _steal_end(self, tx: Transaction, run: RunRow, fence: int) -> str | None:
        if run.status != "finishing" or run.end_fence != fence or not self._look.is_end_stale(tx, run):
            raise RunMovedOn("the last step is not held by somebody without a sign of life (any more)")
        text = "whoever executed the last step gave no sign of life any more"
        runs.change(tx, self._run_id, "end_fence = end_fence + 1")
        self._block(tx, Problem(END_STEP, fence + 1, "on_end", kind="lost_lease", message=text, when=run.now))
        self._write(tx, "taken_over", "on_end", level="warning")
        return None

    def _block(self, tx: Transaction, problem: Problem) -> None:
        if not runs.change(tx, self._run_id, "status = 'blocked', problem = :problem", problem=problem.pack()):
            raise RunMovedOn("the run is at its end")

    def _let_go(self, tx: Transaction, run: RunRow, item_id: int, fence: int, how: _Decision) -> str:
        """Retry or skip what blocks the run, or waits for its retry; return its title."""
        if item_id != END_STEP:
            self._queue.rows.valid(tx, [(item_id, fence)])  # locks it
        status = self._look.status(tx)
        problem = self._look.question(tx, run, status)
        if problem is not None and (problem.item_id, problem.fence) == (item_id, fence):
            how(tx, item_id, fence, problem.is_dead, True)
            self._change(tx, "status = 'running', problem = NULL")
            return problem.title
        waiting = self._look.next_retry(tx) if problem is None and status == "active" else None
        if run.status != "running" or waiting is None or (waiting.item_id, waiting.fence) != (item_id, fence):
            raise RunMovedOn("the item does not wait for a decision any more: it was retried, skipped or finished")
        how(tx, item_id, fence, False, False)
        self._change(tx, "problem = NULL")
        return waiting.title

    def _retry(self, tx: Transaction, item_id: int, fence: int, is_dead: bool, is_fresh: bool) -> None:
        if item_id == END_STEP:
            return
        if is_dead:
            if not self._queue.dead.revive(tx, [item_id]):
                raise RunMovedOn("the dead letter is gone: somebody has revived or deleted it")
            runs.change(tx, self._run_id, "failed = CASE WHEN failed > 0 THEN failed - 1 ELSE 0 END")
            runs.forget_failure(tx, self._run_id, item_id)
            return
        # What only waits for its pause keeps its count; what had used up its attempts begins anew.
        self._settle(tx, item_id, fence, Settlement(stays=True, fresh=is_fresh))

    def _skip(self, tx: Transaction, item_id: int, fence: int, is_dead: bool, is_fresh: bool) -> None:
        if item_id == END_STEP:
            runs.change(tx, self._run_id, "is_ended = 1")  # whoever drives next finds that nothing is left to do
        elif not is_dead:  # a dead letter has left the queue already, and counts as failed
            self._settle(tx, item_id, fence, settlement.skip(f"skipped by {self._actor or 'hand'}"))
            runs.change(tx, self._run_id, "skipped = skipped + 1")

    def _settle(self, tx: Transaction, item_id: int, fence: int, how: Settlement) -> None:
        if not self._queue.settle_within(tx, [(item_id, fence)], how):
            raise RunMovedOn("the item has moved on")

    # --- items that failed ---

    def retry_failed(self) -> None:
        """completed: what failed for good is put back, and the run goes on with it alone."""

        def work(tx: Transaction, run: RunRow) -> str | None:
            if run.status != "completed":
                raise RunMovedOn("the run is not completed: its failures are tried again after its end")
            found = on_record.failed(tx, self._queue, self._state(run), limit=100_000)
            back = [entry for entry in found if entry.item_id is not None and self._put_back(tx, entry.item_id)]
            if not back or not runs.reopen(tx, self._run_id, len(back)):
                raise RunMovedOn("none of the failed items is there any more")
            if not self._state(run).definition.is_background:
                runs.forget_failed(tx, self._run_id, [entry.id for entry in back])
            self._write(tx, "reopened", str(len(back)))
            return "active"

        self._carry_out(work)

    def _put_back(self, tx: Transaction, item_id: int) -> bool:
        return bool(self._queue.dead.revive(tx, [item_id])) or self._queue.dead.recreate(tx, item_id)

    # --- common ---

    def _carry_out(self, work: Callable[[Transaction, RunRow], str | None]) -> None:
        def once(tx: Transaction) -> str | None:
            run = runs.find(tx, self._run_id, lock=True)
            if run is None:
                raise RunMovedOn("the run is gone")
            if not runs.is_new_request(tx, self._run_id, self._request_id):
                return None
            status = work(tx, run)
            if status is None or not registry.set_status(tx, self._queue.name, status):
                return None
            return status

        changed = self._queue.database.transaction(once)
        if changed is not None:
            self._queue.status_changed(changed)

    def _change(self, tx: Transaction, assignments: str, condition: str = "", **values: int | str) -> None:
        if not runs.change(tx, self._run_id, assignments, condition, **values):
            raise RunMovedOn("the run is in another state by now")

    def _write(
        self, tx: Transaction, kind: str, subject: str = "", *, level: str = "info", item_id: int | None = None
    ) -> None:
        subject = first_line(subject) + (f" [{self._actor}]" if self._actor else "")
        runs.write(tx, self._run_id, [line(kind, subject.strip(), level=level, item_id=item_id or None)])
