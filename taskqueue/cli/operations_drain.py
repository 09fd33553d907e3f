"""Executing deferred calls once, as cron does: ``operations drain``."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from signal import Signals
from typing import Any

import click

from ..errors import PayloadError
from ..item import QueueItem
from ..operations import CallNotFound, OperationError, Operations
from ..outcome import Outcome
from ..queues.sql_base import process
from ..signals import item_finished
from ..spec import OPERATION_PAYLOAD
from .operations_meant import operations_of
from .options import grace_option, json_option
from .output import counted, one_line, print_json
from .report import BY_SIGNAL, FAILED, only_json
from .service import Given, pass_given
from .signals import Interrupts

#: What an attempt has come to for which nothing is left to do, as opposed to those that somebody has to look at.
_FINE = ("succeeded", "failed", "expired", "cancelled")
_PROBLEMS = {Outcome.RETRY: "retrying", Outcome.DEAD: "dead", Outcome.DELETE: "dead", Outcome.ABORT: "retrying",
             Outcome.CANCELLED: "cancelled"}  # fmt: skip
_SAID = {"retrying": "to be tried again"}


class _Tally:
    """What became of the attempts."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.states: Counter[str] = Counter()
        #: Handlers of ends (``@operations.finished``) that have failed.
        self.told_in_vain = 0

    def note(self, queue: Any, *, item: QueueItem, outcome: Outcome, **_more: Any) -> None:
        """Receiver of ``item_finished``."""
        if queue.spec.payload != OPERATION_PAYLOAD:
            return
        if _is_news(item):
            self.told_in_vain += outcome in _PROBLEMS
        elif outcome is Outcome.OK:
            self.states[self._state(item.uid)] += 1
        elif outcome in _PROBLEMS:  # else it was given back, or lost to others, who execute it
            self.states[_PROBLEMS[outcome]] += 1

    def _state(self, call_id: str) -> str:
        try:
            return self._operations.get(call_id).state
        except CallNotFound:
            return "forgotten"
        except OperationError:  # it is kept for no time at all
            return "succeeded"

    @property
    def are_good(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.told_in_vain and not self.states["dead"] and not self.states["retrying"]

    def said(self) -> str:
        """As a part of a sentence."""
        order = ("succeeded", "failed", "expired", "cancelled", "retrying", "dead", "forgotten")
        parts = [f"{self.states[state]} {_SAID.get(state, state)}" for state in order if self.states[state]]
        if self.told_in_vain:
            parts.append(f"{counted(self.told_in_vain, 'handler')} of ends failed")
        return ", ".join(parts)


@click.command("drain")
@click.option("--no-wait", is_flag=True, help="Do not wait for what workers are just executing.")
@json_option
@grace_option
@pass_given
def drain_calls(given: Given, no_wait: bool, as_json: bool, grace: float) -> None:
    """Execute the deferred calls that are due, in this process, and end when nothing is left; made for a crontab.

    What is due later, or waits for its next attempt, is left for the next time. Overlapping starts do no harm, nor do
    workers beside it. Ctrl-C and SIGTERM end it in good order: the call in hand may be finished; a second one, or the
    end of the grace period, gives it back.

    Exit code 1 when a call has died or waits to be tried again, or a queue of operations is not active and has calls
    left. That an operation says no ("failed") is an answer like others.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations drain
      taskqueue --app myapp.jobs:service operations drain --no-wait --json

    \b
    In a crontab, each minute:
      * * * * *  cd /srv/myapp && venv/bin/taskqueue --app myapp.jobs:service operations drain >>drain.log 2>&1
    """
    operations = operations_of(given)
    process.program = "taskqueue operations drain"
    tally, stop, attempts = _Tally(operations), threading.Event(), 0
    by: Signals | None = None
    if given.missing_file is None:
        with ExitStack() as stack:
            stack.enter_context(only_json(as_json))
            interrupts = stack.enter_context(Interrupts(stop.set, grace))
            stack.enter_context(item_finished.connected_to(tally.note))
            stack.enter_context(given.around())
            try:
                attempts = operations.drain(wait=not no_wait, stop=stop)
            except KeyboardInterrupt:
                by = Signals.SIGINT  # of the operation's own making, unless a signal came
        by = interrupts.signal or by
        attempts = max(attempts, sum(tally.states.values()))
    _report(operations, given, tally, attempts, by, as_json)


def _report(
    operations: Operations, given: Given, tally: _Tally, attempts: int, by: Signals | None, as_json: bool
) -> None:
    administration = operations.administration
    waiting, dead = administration.counts() if given.missing_file is None else (0, 0)
    inactive = administration.inactive() if given.missing_file is None and by is None else []
    if as_json:
        states = dict(sorted(tally.states.items()))
        print_json({"attempts": attempts, "states": states, "waiting": waiting, "dead": dead,
                    "stopped_by": by.name if by is not None else None})  # fmt: skip
    else:
        made = f"Made {counted(attempts, 'attempt')}"
        done = f": {said}" if (said := tally.said()) else ""
        stopped = f"Stopped by {by.name}: made {counted(attempts, 'attempt')}" if by is not None else made
        click.echo(f"{stopped}{done}; {waiting} waiting, {dead} dead.")
    for name, status, number in inactive:
        click.echo(
            f"Not drained: queue {one_line(name)!r} is {status} and has {counted(number, 'item')} left.", err=True
        )
    if by is not None:
        raise click.exceptions.Exit(BY_SIGNAL + by)
    if inactive or not tally.are_good:
        raise click.exceptions.Exit(FAILED)


def _is_news(item: QueueItem) -> bool:
    """Whether it is no call, but the news of the end of one."""
    try:
        return "finished" in item.data
    except (PayloadError, TypeError):
        return False
