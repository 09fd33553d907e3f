"""Looking: ``list``, ``show`` and ``items`` change nothing."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from ..item import QueueItem
from ..queues.batch import BatchQueue
from .facts import item_facts, options_of, queue_facts
from .options import json_option, queue_argument
from .output import first_line, moment, one_line, print_facts, print_json, print_table, shortened
from .service import Given, pass_given

_COUNTS = ("ready", "leased", "delayed", "dead")


@click.command("list")
@json_option
@pass_given
def list_queues(given: Given, as_json: bool) -> None:
    """List the queues, with their counts.

    \b
    Examples:
      taskqueue list
      taskqueue list --json | jq '.[] | select(.dead > 0) | .name'
    """
    facts = [queue_facts(queue) for queue in given.queues()]
    if as_json:
        print_json(facts)
    elif facts:
        columns = ("name", "type", "status", *_COUNTS)
        print_table(columns, [[queue[column] for column in columns] for queue in facts])
    elif given.missing_file is not None:
        click.echo(f"There are no queues, nor a database file {one_line(given.missing_file)}.")
    else:
        click.echo("There are no queues.")


@click.command("show")
@queue_argument
@json_option
@pass_given
def show_queue(given: Given, name: str, as_json: bool) -> None:
    """Show the status, counts, options, first item and last error of a queue.

    \b
    Examples:
      taskqueue show import
      taskqueue show import --json | jq .statistics
    """
    queue = given.queue(name)
    status, statistics, head = queue.status, queue.statistics(), next(queue.items(), None)
    error = _last_error(queue, head)
    if as_json:
        print_json({
            "name": queue.name, "type": queue.spec.type, "status": status, "options": options_of(queue),
            "statistics": statistics, "head": item_facts(head) if head else None, "last_error": error,
        })  # fmt: skip
        return
    print_facts([("queue", queue.name), ("type", queue.spec.type), ("status", status), *statistics.items()])
    click.echo("\nOptions")
    print_facts([(f"  {option}", _shown(value)) for option, value in options_of(queue).items()])
    if head is not None:
        click.echo("\nFirst item")
        print_facts([
            ("  id", head.id), ("  title", head.title), ("  weight", head.weight), ("  state", _state(head)),
            ("  submitted", moment(head.submit_time)), ("  failures", head.failures),
        ])  # fmt: skip
    if error is not None:
        click.echo(f"\nLast error\n  {first_line(error)}")


@click.command("items")
@queue_argument
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
@pass_given
def list_items(given: Given, name: str, limit: int, as_json: bool) -> None:
    """List the items of a queue, in its order; what looks like a secret in their arguments is hidden.

    \b
    Examples:
      taskqueue items import
      taskqueue items import --limit 1000000 --json > items.jsonl
    """
    queue = given.queue(name)
    items = islice(queue.items(), limit)
    if as_json:
        for item in items:
            print_json(item_facts(item))
        return
    shown = [[item.id, item.weight, item.failures, _state(item), shortened(item.title, 80)] for item in items]
    if not shown:
        click.echo(f"Queue {name!r} is empty.")
        return
    print_table(("id", "weight", "failures", "state", "title"), shown)
    left = queue.number_of_items() - len(shown)
    if left > 0:
        click.echo(f"... and {left} more (--limit)")


def _state(item: QueueItem) -> str:
    return "ready" if item.release_time is None else f"until {moment(item.release_time)} UTC"


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _last_error(queue: BatchQueue, head: QueueItem | None) -> str | None:
    if head is not None and head.last_error:
        return head.last_error
    latest = queue.archive.latest()
    return latest.error if latest is not None else None
