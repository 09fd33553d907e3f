"""Steering a queue: ``pause``, ``resume``, ``skip``, ``reset`` and ``delete``."""

from __future__ import annotations

import click

from ..errors import NothingReady
from ..queues.batch import BatchQueue
from ..runner import Runner
from .facts import result_facts
from .options import confirm, json_option, queue_argument, yes_option
from .output import counted, one_line, print_json
from .service import Given, pass_given


@click.command("pause")
@queue_argument
@json_option
@pass_given
def pause_queue(given: Given, name: str, as_json: bool) -> None:
    """Let nobody start further items of a queue; those in hand are finished.

    \b
    Example:
      taskqueue pause import
    """
    _set_status(given.queue(name), "paused", as_json)


@click.command("resume")
@queue_argument
@json_option
@pass_given
def resume_queue(given: Given, name: str, as_json: bool) -> None:
    """Set a paused, aborted, completed or draft queue active again; this runs nothing.

    \b
    Example:
      taskqueue resume import
    """
    _set_status(given.queue(name), "active", as_json)


@click.command("skip")
@queue_argument
@yes_option
@json_option
@pass_given
def skip_head(given: Given, name: str, yes: bool, as_json: bool) -> None:
    """Remove the first item of a queue without running it, on record.

    \b
    Example:
      taskqueue skip import
    """
    queue = given.queue(name)
    head = next(queue.items(), None)
    if head is None:
        raise NothingReady(f"queue {name!r} is empty: there is nothing to skip")
    confirm(f"remove item {head.id} {one_line(head.title)!r} of queue {name!r} without running it", yes)
    result = Runner(queue).skip_next()
    if not result.skipped:
        raise result.exception or NothingReady(f"no item of queue {name!r} was skipped: others were faster")
    if as_json:
        print_json({"queue": name, **result_facts(result)})
    else:
        left = counted(result.number_of_items, "item")
        click.echo(f"Skipped {one_line(result.last_task_title)!r}; queue {name!r} has {left} left.")


@click.command("reset")
@queue_argument
@yes_option
@json_option
@pass_given
def reset_queue(given: Given, name: str, yes: bool, as_json: bool) -> None:
    """Throw away all items and dead letters of a queue; its options stay.

    \b
    Example:
      taskqueue reset import --yes
    """
    queue = given.queue(name)
    content = _content(queue)
    confirm(f"throw away {content} of queue {name!r}", yes)
    removed = queue.reset()
    if as_json:
        print_json({"queue": name, "removed": removed})
    else:
        click.echo(f"Threw away {content} of queue {name!r}.")


@click.command("delete")
@queue_argument
@yes_option
@json_option
@pass_given
def delete_queue(given: Given, name: str, yes: bool, as_json: bool) -> None:
    """Remove a queue with its items, its dead letters and its options.

    \b
    Example:
      taskqueue delete import --yes
    """
    queue = given.queue(name)
    content, number = _content(queue), queue.number_of_items()
    confirm(f"remove queue {name!r} with {content}", yes)
    given.service.delete(name)
    if as_json:
        print_json({"queue": name, "removed": number})
    else:
        click.echo(f"Removed queue {name!r} with {content}.")


def _set_status(queue: BatchQueue, status: str, as_json: bool) -> None:
    before = queue.status
    queue.set_status(status)
    if as_json:
        print_json({"queue": queue.name, "status": status, "was": before})
    elif before == status:
        click.echo(f"Queue {queue.name!r} was {status} already.")
    else:
        click.echo(f"Queue {queue.name!r} is {status} now; it was {before}.")


def _content(queue: BatchQueue) -> str:
    counts = queue.statistics()
    return f"{counted(counts['total'], 'item')} and {counted(counts['dead'], 'dead letter')}"
