"""Which run ``run`` carries on: that of the queue's page, if one was begun there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from ..errors import RunMovedOn
from ..queues.batch import BatchQueue
from ..queues.sql_base import SqlBase
from ..result import ErrorMode
from ..runner import Runner
from ..runs.actions import Actions
from ..runs.state import END_STEP, RunState
from ..runs.store import Runs
from .output import one_line


@dataclass(frozen=True)
class Choice:
    """What is going to be run, and a sentence about it; "" where nothing is to be said."""

    runner: Runner
    sentence: str = ""


def choose_run(queue: BatchQueue, mode: ErrorMode | None, *, new: bool) -> Choice:
    """The runner that carries on the newest open run that was not begun by this command; else one of its own.

    Arguments:
        mode: what to do about failures, whatever the run says; None: as it says.
        new: begin a run of its own, whatever stands open.
    """
    own = Runner(queue, title=f"Queue {queue.name}", error_mode=mode)
    if new:
        own.begin_anew()
        return Choice(own)
    if not isinstance(queue, SqlBase) or not queue.spec.is_persistent or queue.status in ("paused", "draft"):
        return Choice(own)  # no page can show it; or the runner refuses to run it, and says why
    for run in Runs.of(queue).open_runs(queue.name):
        if run.damage or _is_ours(run, own):
            continue
        again = run.status == "finishing"
        if again and not _is_taken_over(queue, run):
            continue  # somebody is just carrying out its last step
        runner = Runner.of_run(queue, run)
        if mode is not None:
            runner.error_mode = mode
        return Choice(runner, _sentence(run, again))
    return Choice(own)


def _is_ours(run: RunState, own: Runner) -> bool:
    """Whether this command has begun it: the runner finds such a run by itself, if the options are the same."""
    return not run.owner and replace(run.definition, error_mode=None) == replace(own.definition, error_mode=None)


def _is_taken_over(queue: SqlBase, run: RunState) -> bool:
    """Whether nobody alive carries out the last step of a run, so that it could be taken over."""
    try:
        Actions(queue, run.id, actor="", request_id=secrets.token_hex(16)).steal(END_STEP, run.end_fence)
    except RunMovedOn:
        return False
    return True


def _sentence(run: RunState, again: bool) -> str:
    where = "on its page" if run.owner else "elsewhere"
    done = f"{run.finished} of {run.total} done"
    last = "; its last step goes again, because nobody alive carries it out" if again else ""
    return f"Carrying on the run {one_line(run.title)!r}, begun {where}: {done}{last}"
