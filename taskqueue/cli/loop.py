"""A loop with limits over one queue: ``loop``."""

from __future__ import annotations

import threading
from dataclasses import asdict

import click

from ..execution.calls import check_handler
from ..loop import run_loop
from .options import allow_option, grace_option, json_option, queue_argument
from .output import counted, duration, one_line, print_json
from .report import FAILED, only_json
from .service import Given, pass_given
from .signals import BY_SIGNAL, Interrupts
from .trust import require_allowed


@click.command("loop")
@queue_argument
@click.option("--max-requests", type=int, default=10, show_default=True, help="Claim at most so often, batch_limit "
              "items at a time; -1: no limit.")  # fmt: skip
@click.option("--max-duration", type=float, default=120.0, show_default=True, help="Begin no further claim after so "
              "many seconds; -1: no limit.")  # fmt: skip
@json_option
@allow_option
@grace_option
@pass_given
def loop_queue(
    given: Given, name: str, max_requests: int, max_duration: float, as_json: bool, allow: tuple[str, ...],
    grace: float,
) -> None:  # fmt: skip
    """Execute items of a queue until a limit is reached, nothing can be claimed, or the queue is not active.

    Unlike 'run', it never waits and resumes no queue; a failed item does not end it. Exit code 1 if an item failed.

    \b
    Examples:
      taskqueue --app myapp.jobs:service loop mail
      taskqueue loop mail --allow myapp --max-requests -1 --max-duration 50 --json     each minute, by cron
    """
    queue = given.queue(name)
    given.allow(allow)
    check_handler(queue)
    require_allowed([queue])
    stop = threading.Event()
    with only_json(as_json), Interrupts(stop.set, grace) as interrupts:
        report = run_loop(queue, max_requests, max_duration, stop=stop)
    if as_json:
        print_json({"queue": name, **asdict(report)})
    else:
        done = f"{report.item_successes} done, {report.item_errors} failed in {duration(report.loop_duration)}"
        left = counted(report.queue_total, "item")
        click.echo(f"{done}, {left} left ({report.queue_blocked} blocked): {one_line(report.exit_message)}.")
    if interrupts.signal is not None:
        raise click.exceptions.Exit(BY_SIGNAL + interrupts.signal)
    if report.item_errors:
        raise click.exceptions.Exit(FAILED)
