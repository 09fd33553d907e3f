"""What is on record of one item: ``history`` and ``result``."""

from __future__ import annotations

import json

import click

from ..errors import ItemNotFound
from .facts import ending_facts, result_value_facts
from .options import json_option, queue_argument
from .output import first_line, moment, print_facts, print_json, print_table, shortened
from .service import Given, pass_given

_id_argument = click.argument("id_", metavar="ID", type=click.IntRange(min=0))


@click.command("history")
@queue_argument
@_id_argument
@json_option
@pass_given
def show_history(given: Given, name: str, id_: int, as_json: bool) -> None:
    """Show how the attempts at an item ended that were not ok, also of one that is gone.

    \b
    Examples:
      taskqueue history import 17
      taskqueue history import 17 --json | jq -r '.[-1].traceback'
    """
    queue = given.queue(name)
    endings, outcome = queue.history_of(id_), queue.outcome_of(id_)
    if not endings and outcome is None:
        raise ItemNotFound(
            f"nothing is known of an item {id_} of queue {name!r}: it never was, or what was known is gone with a "
            "reset or 'prune'"
        )
    if as_json:
        print_json([ending_facts(ending) for ending in endings])
    elif endings:
        rows = [
            [ending.attempt, ending.outcome, moment(ending.end_time), shortened(first_line(ending.error or ""), 100)]
            for ending in endings
        ]
        print_table(("attempt", "outcome", "ended (UTC)", "error"), rows)
    else:
        click.echo(f"No attempt at item {id_} of queue {name!r} has failed; it is {outcome}.")


@click.command("result")
@queue_argument
@_id_argument
@json_option
@pass_given
def show_result(given: Given, name: str, id_: int, as_json: bool) -> None:
    """Show what the task of an item returned, on a queue with the option keep_result.

    \b
    Example:
      taskqueue result import 17 --json | jq .value
    """
    result = given.queue(name).result_of(id_)
    if result is None:
        raise ItemNotFound(
            f"queue {name!r} keeps no result of an item {id_}: it has not ended ok, its time is over, or the queue has "
            "no keep_result"
        )
    facts = result_value_facts(result)
    if as_json:
        print_json(facts)
    else:
        ended = ("ended (UTC)", moment(result.end_time))
        print_facts([("item", id_), ended, ("value", json.dumps(facts["value"], ensure_ascii=False))])
