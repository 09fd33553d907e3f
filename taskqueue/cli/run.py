"""Running a queue in this terminal: ``run`` and ``retry``."""

from __future__ import annotations

import click

from ..errors import ConfigurationError, NothingReady
from ..execution.attempt import check_handler
from ..queues.batch import BatchQueue
from ..runner import ErrorMode, Runner
from ..spec import TASK_PAYLOAD
from .facts import result_facts
from .options import allow_option, check_seconds, grace_option, json_option, queue_argument
from .output import counted, print_json
from .progress import Display, choose_display
from .report import Report, carry_out, only_json
from .service import Given, pass_given


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
@click.option("--quiet", is_flag=True, help="Show failures only.")
@json_option
@allow_option
@grace_option
@pass_given
def run_queue(
    given: Given, name: str, wait: float | None, error_mode: str | None, quiet: bool, as_json: bool,
    allow: tuple[str, ...], grace: float,
) -> None:  # fmt: skip
    """Run a queue to its end.

    Ctrl-C and SIGTERM end it in good order: the item in hand may be finished, a second Ctrl-C interrupts it; it is
    given back and nothing stays leased. An aborted queue is resumed, beginning with the item that failed.

    \b
    Examples:
      taskqueue --app myapp.jobs:service run import
      taskqueue run import --allow myapp
      taskqueue run import --allow myapp --error-mode continue --wait 0 --json
    """
    queue = given.queue(name)
    _require_allowed(given, queue, allow)
    mode = ErrorMode[error_mode.upper()] if error_mode is not None else None
    runner = Runner(queue, title=f"Queue {name}", error_mode=mode)
    display = choose_display(name, silent=quiet or as_json)
    with only_json(as_json):
        report = carry_out(runner, lambda: runner.run_all(wait, display.watch), display, grace)
    if as_json and report.was_run:
        print_json({"queue": name, **result_facts(report.result), "stopped_by": report.stopped_by})
    _finish(report, display, name)


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
    is_for_tasks = queue.spec.payload in (None, TASK_PAYLOAD)
    if is_for_tasks and not queue.settings.allow.given and (number := queue.number_of_items()):
        raise ConfigurationError(
            f"nothing says which code may run, so queue {queue.name!r} keeps its {counted(number, 'item')} untouched: "
            "name the packages that you trust by --allow PREFIX, TASKQUEUE_ALLOW, or allow= of a service given by --app"
        )


def _finish(report: Report, display: Display, name: str) -> None:
    if report.error is None:
        display.say(report.summary(name))
    report.leave()
