"""Putting a task into a queue: ``add``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import click

from ..errors import NotSupported, QueueNotFound, SpecError
from ..queues.batch import BatchQueue
from ..service import OptionsKept
from ..spec import shown
from ..task import Task
from .facts import item_facts
from .options import check_seconds, json_option, queue_argument
from .output import one_line, print_json
from .service import Given, pass_given

#: As many has the largest number that an item can hold.
_DIGITS = 4300


@click.command("add")
@queue_argument
@click.argument("callback", metavar="MODULE:CALLBACK")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1)
@click.option("--title", default="", help="What a human sees while the task runs.")
@click.option("--weight", type=int, default=0, show_default=True, help="Lower goes first.")
@click.option("--delay", type=float, callback=check_seconds, help="Hide the item for so many seconds.")
@click.option("--dedup-key", metavar="KEY", help="Add nothing while an item with this key stands in the queue.")
@click.option(
    "--unique-until",
    type=click.Choice(["started", "finished"]),
    default="finished",
    show_default=True,
    help="With --dedup-key: when the key is free again.",
)
@click.option("--type", "type_", metavar="TYPE", help="Make the queue if it does not exist: Sql (one after the other) "
              "or SqlParallel.")  # fmt: skip
@json_option
@pass_given
def add_item(
    given: Given, name: str, callback: str, arguments: tuple[str, ...], title: str, weight: int,
    delay: float | None, dedup_key: str | None, unique_until: str, type_: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Put a task into a queue.

    Each of ARGS is JSON: text needs quotes of its own. The task is called as callback(ctx, *ARGS). Write --
    before a negative number.

    \b
    Examples:
      taskqueue add mails myapp.mails:send 17 '"welcome"' --title "Welcome 17"
      taskqueue add mails myapp.mails:send '{"to": 17}' --delay 60 --type SqlParallel
      taskqueue add mails --weight -5 -- myapp.mails:move -1.5
      taskqueue add mails myapp.mails:fetch --dedup-key fetch --unique-until started
    """
    task = Task(callback, values(arguments), title)
    queue = _queue(given, name, type_)
    item = queue.create_item(task, weight=weight, delay=delay, dedup_key=dedup_key, unique_until=unique_until)
    if as_json:
        print_json(item_facts(item))
    elif dedup_key is None:
        click.echo(f"Added item {item.id} {one_line(item.title)!r} to queue {name!r}.")
    else:
        click.echo(f"Item {item.id} {one_line(item.title)!r} stands in queue {name!r} with this key.")


def values(arguments: Sequence[str]) -> list[Any]:
    """What ARGS mean. Raises :class:`SpecError` on one that is no JSON."""
    return [_value(index, text) for index, text in enumerate(arguments, start=1)]


class _Huge(ValueError):
    """A number that no item can hold; some Pythons would read it, others refuse with a sentence for programmers."""


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise _Huge
    return int(text)


def _value(index: int, text: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except _Huge as error:
        raise SpecError(
            f"argument {index} has a number of more than {_DIGITS} digits, which cannot be stored; pass it as text"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpecError(
            f"argument {index} is no JSON: {shown(text)} ({error}); write text in quotes of its own, as '\"text\"'"
        ) from error


def _queue(given: Given, name: str, type_: str | None) -> BatchQueue:
    if type_ is None:
        try:
            return given.queue(name)
        except QueueNotFound as error:
            raise QueueNotFound(f"{error}; --type Sql or --type SqlParallel makes a new one") from error
    if type_ == "Memory":
        raise NotSupported("a queue of type Memory would end with this command: use --type Sql or SqlParallel")
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptionsKept)
        try:
            return given.service.create(type_, name)
        except OptionsKept as kept:
            raise SpecError(f"{kept}; leave --type out to add to it as it is") from kept
