"""The runs of queues, whoever began them: ``runs``."""

from __future__ import annotations

from typing import Any

import click

from .. import clock
from ..errors import QueueNotFound
from ..queues.sql_base import SqlBase
from ..runs.standing import percent, standing
from ..runs.state import RunState
from ..runs.store import Runs
from .options import complete_queue, json_option
from .output import iso, moment, print_json, print_table, shortened
from .service import Given, pass_given


@click.command("runs")
@click.argument("name", metavar="[QUEUE]", required=False, shell_complete=complete_queue)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most so many.")
@json_option
@pass_given
def list_runs(given: Given, name: str | None, limit: int, as_json: bool) -> None:
    """List the runs, of all queues or of one, newest first.

    \b
    Examples:
      taskqueue runs
      taskqueue runs import --json | jq '.[0].status'
    """
    found = [(run, _standing(given, run)) for run in _runs(given, name, limit)]
    if as_json:
        print_json([_facts(run, status) for run, status in found])
    elif found:
        rows = [
            [run.id, shortened(run.title, 40), run.queue_name, status, _progress(run),
             moment(clock.from_ms(run.start_time)) if run.start_time else "-"]
            for run, status in found
        ]  # fmt: skip
        print_table(("id", "title", "queue", "status", "progress", "started (UTC)"), rows)
    elif name is not None:
        click.echo(f"Queue {name!r} has no runs.")
    else:
        click.echo("There are no runs.")


def _runs(given: Given, name: str | None, limit: int) -> list[RunState]:
    if name is not None and not isinstance(given.queue(name), SqlBase):
        return []  # a queue of this process alone
    if name is None and given.missing_file is not None:
        return []
    return Runs(given.service.database, given.service.settings.codec).latest(limit, name)


def _standing(given: Given, run: RunState) -> str:
    try:
        queue = given.service.load(run.queue_name) if run.is_open else None
    except QueueNotFound:
        queue = None
    return standing(queue if isinstance(queue, SqlBase) else None, run)


def _progress(run: RunState) -> str:
    failed = f", {run.failed} failed" if run.failed else ""
    where = ", by workers" if run.definition.is_background else ""
    return f"{run.finished}/{run.total} ({percent(run)} %){failed}{where}"


def _facts(run: RunState, status: str) -> dict[str, Any]:
    return {
        "id": run.id,
        "title": run.title,
        "queue": run.queue_name,
        "background": run.definition.is_background,
        "status": status,
        "total": run.total,
        "done": run.done,
        "skipped": run.skipped,
        "failed": run.failed,
        "percent": percent(run),
        "created": iso(clock.from_ms(run.create_time)),
        "started": iso(clock.from_ms(run.start_time)) if run.start_time else None,
        "ended": iso(clock.from_ms(run.end_time)) if run.end_time else None,
    }
