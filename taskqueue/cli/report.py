"""Carrying a run out, and what can be said about it afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

import click

from ..errors import QueueNotActive, RunMovedOn, TaskQueueError
from ..execution.failure import error_text
from ..item import QueueItem
from ..outcome import Outcome
from ..result import RunResult
from ..runner import Runner
from ..signals import item_finished, run_finished, run_started
from .output import counted, duration, first_line, one_line
from .progress import Display
from .signals import BY_SIGNAL, Interrupts
from .task_log import task_log

FAILED = 1


@dataclass
class Report:
    """How a run ended."""

    result: RunResult = field(default_factory=RunResult)
    #: Whether it began at all.
    was_run: bool = False
    #: The signal that stopped it.
    signal: Signals | None = None
    #: What ended it from outside of the tasks, such as a lost database.
    error: TaskQueueError | None = None
    #: Of the latest attempt.
    title: str = ""
    outcome: Outcome | None = None

    @property
    def stopped_by(self) -> str | None:
        """The name of the signal that stopped it."""
        return self.signal.name if self.signal is not None else None

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to complain about."""
        if self.signal is not None or self.error is not None or self.result.is_error or self.result.failed:
            return False
        return self.result.is_drained or self.result.completed > 0

    def leave(self) -> None:
        """Exit with the fitting code, or raise what ended the run."""
        if self.error is not None:
            raise self.error
        if self.signal is not None:
            raise click.exceptions.Exit(BY_SIGNAL + self.signal)
        if not self.is_good:
            raise click.exceptions.Exit(FAILED)

    def summary(self, name: str, program: str = "taskqueue") -> str:
        """One line for a human; ``program`` is what commands begin with."""
        result = self.result
        left = counted(result.number_of_items, "item") + " left"
        done = f"{result.completed} done" + (f", {result.failed} failed" if result.failed else "")
        took = f"in {duration(result.elapsed)}"
        if self.stopped_by is not None:
            return f"Stopped by {self.stopped_by}: {done}, {left} {took}; '{program} run {name}' goes on"
        if result.is_error and self.outcome is Outcome.DEAD:
            return (
                f"Stopped by a failure: {done}, {left} {took}; the item is kept as a dead letter (see "
                f"'{program} dead list {name}'): put it right and revive it, or go on with '{program} run {name}'"
            )
        if isinstance(result.exception, (QueueNotActive, RunMovedOn)):
            return f"Stopped by somebody else: {done}, {left} {took}: {one_line(str(result.exception))}"
        if result.is_error:
            reason = first_line(error_text(result.exception))
            return (
                f"Stopped by a failure: {done}, {left} {took}: {reason}; put it right, then '{program} run {name}', "
                f"or '{program} skip {name}'"
            )
        if not result.is_drained:
            return f"Waited long enough: {done}, {left} {took}, held by others or delayed"
        return f"Finished: {done} {took}"


def carry_out(runner: Runner, run: Callable[[], RunResult], display: Display, grace: float) -> Report:
    """Call ``run`` with signals, failures and the display attended to."""
    report, queue = Report(), runner.queue

    def stop() -> None:
        runner.stop()
        display.stopping()

    def note(_queue: Any, item: QueueItem, outcome: Outcome, exception: BaseException | None, **_more: Any) -> None:
        report.title, report.outcome = one_line(item.title), outcome
        display.attempt(_queue, item, outcome, exception)

    def begin(_runner: Any) -> None:
        display.begin(queue.number_of_items())

    def keep(_runner: Any, result: RunResult) -> None:
        report.was_run, report.result = True, result

    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(stop, grace))
        stack.enter_context(item_finished.connected_to(note, sender=queue))
        stack.enter_context(run_started.connected_to(begin, sender=runner))
        stack.enter_context(run_finished.connected_to(keep, sender=runner))
        stack.enter_context(display)
        stack.enter_context(task_log(display))
        try:
            report.result = run()
        except KeyboardInterrupt:
            report.signal = Signals.SIGINT  # of the task's own making, unless a signal came
            with suppress(TaskQueueError):
                report.result.number_of_items = queue.number_of_items()
        except TaskQueueError as error:
            report.error, report.result.is_error, report.result.exception = error, True, error
    report.signal = interrupts.signal or report.signal
    return report


@contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Let what tasks and their programs print go to stderr, so that stdout holds the JSON alone."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    with redirect_stdout(sys.stderr), ExitStack() as stack:
        with suppress(OSError, ValueError):  # not the case where stdout is no file
            _turn(stack, sys.__stdout__.fileno() if sys.__stdout__ else 1, sys.stderr.fileno())
        yield


def _turn(stack: ExitStack, source: int, target: int) -> None:
    saved = os.dup(source)
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, source)
    os.dup2(target, source)
