"""Taking items back: ``cancel``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import ItemNotFound
from ..queues.batch import BatchQueue
from .options import json_option, queue_argument
from .output import print_json
from .service import Given, pass_given

_TOLD = {
    "cancelled": "Cancelled item {}.",
    "stopping": "Item {} is being executed: its task is asked to stop.",
    "ended": "Item {} ended by itself.",
}


@click.command("cancel")
@queue_argument
@click.argument("ids", metavar="ID...", nargs=-1, type=int, required=True)
@json_option
@pass_given
def cancel_items(given: Given, name: str, ids: tuple[int, ...], as_json: bool) -> None:
    """Take items back, whether they wait or are being executed.

    What waits is removed, on record. A task that is being executed is asked to stop; if it completes all the same,
    that counts, else it is not tried again. Either all of the items stand in the queue, or nothing is changed.

    \b
    Examples:
      taskqueue cancel import 17
      taskqueue cancel import 17 18 19 --json
    """
    queue = given.queue(name)
    _check_known(queue, ids)
    answers = {item_id: _cancel(queue, item_id) for item_id in dict.fromkeys(ids)}
    if as_json:
        found = {answer: [item_id for item_id, one in answers.items() if one == answer] for answer in _TOLD}
        print_json({"queue": name, **found})
        return
    for item_id, answer in answers.items():
        click.echo(_TOLD[answer].format(item_id))


def _check_known(queue: BatchQueue, ids: Sequence[int]) -> None:
    missing = sorted(set(ids) - {item.id for item in queue.fetch_items(ids)})
    if missing:
        raise ItemNotFound(
            f"queue {queue.name!r} has no item with the id {', '.join(map(str, missing))}; nothing was changed"
        )


def _cancel(queue: BatchQueue, item_id: int) -> str:
    try:
        return queue.cancel_item(item_id)
    except ItemNotFound:  # it was there a moment ago
        return "ended"
