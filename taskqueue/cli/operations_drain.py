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
from ..operations.administration import Counts
from ..outcome import Outcome
from ..queues.sql_base import process
from ..signals import item_finished
from ..spec import OPERATION_PAYLOAD
from .operations_meant import operations_of
from .options import grace_option, json_option
from .output import counted, one_line, print_json
from .report import FAILED, only_json
from .service import Given, pass_given
from .signals import BY_SIGNAL, Interrupts
from .terminal_log import log_to_terminal

#: What an attempt has come to for which nothing is left to do, as opposed to those that somebody has to look at.
_FINE = ("succeeded", "failed", "expired", "cancelled")
_PROBLEMS = {Outcome.RETRY: "retrying", Outcome.DEAD: "dead", Outcome.DELETE: "dead", Outcome.ABORT: "retrying",
             Outcome.CANCELLED: "cancelled"}  # fmt: skip
_SAID = {"retrying": "to be tried again", "forgotten": "forgotten by others meanwhile"}


class Tally:
    """What became of the attempts."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self.states: Counter[str] = Counter()
        #: Ends of which handlers (``@operations.finished``) were told, and those where one has failed.
        self.told = 0
        self.told_in_vain = 0

    def note(self, queue: Any, *, item: QueueItem, outcome: Outcome, **_more: Any) -> None:
        """Receiver of ``item_finished``."""
        if queue.spec.payload != OPERATION_PAYLOAD:
            return
        kind = _kind(item)
        if kind == "finished":
            self.told += outcome is Outcome.OK
            self.told_in_vain += outcome in _PROBLEMS
        elif kind != "operation":
            return  # it only looks whether a call has stopped
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
        made = counted(self.attempts, "attempt")
        order = ("succeeded", "failed", "expired", "cancelled", "retrying", "dead", "forgotten")
        parts = [f"{self.states[state]} {_SAID.get(state, state)}" for state in order if self.states[state]]
        calls = f"{made}: {', '.join(parts)}" if parts else made
        told = f"; {counted(self.told, 'end')} told to handlers" if self.told else ""
        failed = f"; {counted(self.told_in_vain, 'attempt')} to tell handlers failed" if self.told_in_vain else ""
        return f"{calls}{told}{failed}"

    @property
    def attempts(self) -> int:
        """How many calls were executed, handlers left out."""
        return sum(self.states.values())


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

    Exit code 1 when a call has died or waits to be tried again, a handler of ends has failed, or a queue of operations
    is not active and has calls left. That an operation says no ("failed") is an answer like others. Why an attempt has
    failed is written to stderr, with the traceback.

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
    log_to_terminal()
    tally, stop = Tally(operations), threading.Event()
    by: Signals | None = None
    if given.missing_file is None:
        with ExitStack() as stack:
            stack.enter_context(only_json(as_json))
            interrupts = stack.enter_context(Interrupts(stop.set, grace))
            stack.enter_context(item_finished.connected_to(tally.note))
            stack.enter_context(given.around())
            try:
                operations.drain(wait=not no_wait, stop=stop)
            except KeyboardInterrupt:
                by = Signals.SIGINT  # of the operation's own making, unless a signal came
        by = interrupts.signal or by
    _report(operations, given, tally, by, as_json)


def _report(operations: Operations, given: Given, tally: Tally, by: Signals | None, as_json: bool) -> None:
    administration = operations.administration
    now = administration.counts() if given.missing_file is None else Counts(0, 0, 0, 0, ())
    inactive = administration.inactive() if given.missing_file is None and by is None else []
    if as_json:
        states = dict(sorted(tally.states.items()))
        handlers = {"told": tally.told, "failed": tally.told_in_vain, "waiting": now.news}
        print_json({"attempts": tally.attempts, "states": states, "waiting": now.waiting, "dead": now.dead,
                    "handlers": handlers, "stopped_by": by.name if by is not None else None})  # fmt: skip
    else:
        begin = f"Stopped by {by.name}: made" if by is not None else "Made"
        news = f", {counted(now.news, 'end')} to be told to handlers" if now.news else ""
        click.echo(f"{begin} {tally.said()}; {now.waiting} waiting{news}, {now.dead} dead.")
    if now.other_letters:
        show = " and ".join(f"'{given.program} dead list {one_line(name)}'" for name in now.queues)
        click.echo(
            f"{counted(now.other_letters, 'dead letter')} beside those of calls, as of handlers that have failed: see "
            f"{show}.", err=True,
        )  # fmt: skip
    for name, status, number in inactive:
        click.echo(
            f"Not drained: queue {one_line(name)!r} is {status} and has {counted(number, 'item')} left.", err=True
        )
    if by is not None:
        raise click.exceptions.Exit(BY_SIGNAL + by)
    if inactive or not tally.are_good:
        raise click.exceptions.Exit(FAILED)


def _kind(item: QueueItem) -> str:
    """Whether it is a call ("operation"), the news of the end of one ("finished"), or looks for one ("stopping")."""
    try:
        return next((kind for kind in ("finished", "stopping") if kind in item.data), "operation")
    except (PayloadError, TypeError):
        return "operation"
