"""Running a queue in this terminal: ``run`` and ``retry``."""

from __future__ import annotations

import logging
import os

import click

from ..errors import NothingReady
from ..execution.calls import check_handler
from ..queues.batch import BatchQueue
from ..queues.sql_base import process
from ..result import ErrorMode
from ..runner import Runner
from .carry_on import choose_run
from .facts import result_facts
from .options import allow_option, check_seconds, grace_option, json_option, queue_argument
from .output import counted, one_line, print_json
from .progress import Display, choose_display
from .report import carry_out, only_json
from .service import Given, pass_given
from .trust import require_allowed


@click.command("run")
@queue_argument
@click.option(
    "--wait",
    type=float,
    callback=check_seconds,
    help="Wait at most so many seconds for items that others hold or that are delayed (0: not at all); else as long "
    "as it takes.",
)
@click.option("--error-mode", type=click.Choice(["abort", "continue"]), help="What to do when an item has failed for "
              "good; else the queue's error option decides.")  # fmt: skip
@click.option("--new", is_flag=True, help="Begin a run of its own, although one that a page has begun is open.")
@click.option("--quiet", is_flag=True, help="Show failures only.")
@json_option
@allow_option
@grace_option
@pass_given
def run_queue(
    given: Given, name: str, wait: float | None, error_mode: str | None, new: bool, quiet: bool, as_json: bool,
    allow: tuple[str, ...], grace: float,
) -> None:  # fmt: skip
    """Run a queue to its end.

    Ctrl-C and SIGTERM end it in good order: the item in hand may be finished, a second Ctrl-C interrupts it; it is
    given back and nothing stays leased. An aborted queue is resumed, beginning with the item that failed.

    A run that was begun on a page is carried on, with its title, its error mode and its last step. The page shows it
    meanwhile, and may pause and abort it. With TASKQUEUE_WEB_URL, where the pages are, the address of the run is told.

    \b
    Examples:
      taskqueue --app myapp.jobs:service run import
      taskqueue run import --allow myapp
      taskqueue run import --allow myapp --error-mode continue --wait 0 --json
    """
    queue = given.queue(name)
    _require_allowed(given, queue, allow)
    mode = ErrorMode[error_mode.upper()] if error_mode is not None else None
    process.program = "taskqueue run"
    logging.getLogger("taskqueue.task").setLevel(logging.INFO)  # for the log of the run; shown is what warns
    chosen = choose_run(queue, mode, new=new)
    runner = chosen.runner
    display = choose_display(name, silent=quiet or as_json)
    if chosen.sentence:
        display.say(chosen.sentence)
    with only_json(as_json):
        report = carry_out(runner, lambda: runner.run_all(wait, display.watch), display, grace)
    if as_json and report.was_run:
        run = {"run": runner.run_id, "url": _address(runner)}
        print_json({"queue": name, **run, **result_facts(report.result), "stopped_by": report.stopped_by})
    if report.error is None:
        display.say(report.summary(name, given.program))
        if (address := _address(runner)) is not None:
            display.say(f"Its page: {one_line(address)}")
    report.leave()


@click.command("retry")
@queue_argument
@json_option
@allow_option
@grace_option
@pass_given
def retry_head(given: Given, name: str, as_json: bool, allow: tuple[str, ...], grace: float) -> None:
    """Run the first item of a queue once more, and say how it went.

    An aborted queue becomes active by that. 'taskqueue run' goes on with the rest.

    \b
    Example:
      taskqueue retry import --allow myapp
    """
    queue = given.queue(name)
    _require_allowed(given, queue, allow)
    runner = Runner(queue, title=f"Queue {name}")
    with only_json(as_json):
        report = carry_out(runner, runner.run_next, Display(), grace)
    if report.outcome is None and report.stopped_by is None and report.error is None:
        raise report.result.exception or NothingReady(f"queue {name!r} is empty: there is nothing to retry")
    if as_json and report.error is None:
        facts = {"outcome": report.outcome, **result_facts(report.result), "stopped_by": report.stopped_by}
        print_json({"queue": name, **facts})
    elif report.is_good:
        left = counted(report.result.number_of_items, "item")
        click.echo(f"Done: {report.title}; queue {name!r} has {left} left.")
    report.leave()


def _require_allowed(given: Given, queue: BatchQueue, allow: tuple[str, ...]) -> None:
    given.allow(allow)
    check_handler(queue)
    require_allowed([queue])


def _address(runner: Runner) -> str | None:
    """Where the page of the run is, if somebody says where pages are."""
    pages = os.environ.get("TASKQUEUE_WEB_URL", "").strip().rstrip("/")
    return f"{pages}/run/{runner.run_id}" if pages and runner.run_id is not None else None
