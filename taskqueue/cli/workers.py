"""The workers that are there: ``workers``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from ..worker.roster import WorkerInfo, workers
from .options import json_option
from .output import duration, iso, moment, print_json, print_table, shortened
from .service import Given, pass_given


@click.command("workers")
@json_option
@pass_given
def list_workers(given: Given, as_json: bool) -> None:
    """List the workers of a database: what they serve, and what they have in hand.

    A worker that died without a word is "silent" and is listed for a day; its items are offered again within seconds.

    \b
    Examples:
      taskqueue workers
      taskqueue workers --json | jq '[.[] | select(.state == "serving")] | length'
    """
    found = [] if given.missing_file is not None else workers(given.service)
    if as_json:
        print_json([_facts(info) for info in found])
    elif found:
        rows = [
            [info.host, info.pid, info.state, moment(info.since), _ago(info), shortened(", ".join(info.queues), 40),
             _in_hand(info)]
            for info in found
        ]  # fmt: skip
        print_table(("host", "pid", "state", "since (UTC)", "last beat", "queues", "in hand"), rows)
    else:
        click.echo("There are no workers: start one with 'taskqueue work'.")


def _ago(info: WorkerInfo) -> str:
    return f"{duration(info.beat_age)} ago"


def _in_hand(info: WorkerInfo) -> str:
    return ", ".join(f"#{item_id} {shortened(title, 30)}" for _queue, item_id, title in info.items) or "-"


def _facts(info: WorkerInfo) -> dict[str, Any]:
    items = [{"queue": queue, "id": item_id, "title": title} for queue, item_id, title in info.items]
    return {**asdict(info), "since": iso(info.since), "last_beat": iso(info.last_beat), "items": items}
