"""Dead letters: ``dead list``, ``show``, ``revive`` and ``delete``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..errors import ItemNotFound
from ..queues.base import DeadItem
from ..queues.batch import BatchQueue
from .facts import dead_facts
from .options import json_option, queue_argument
from .output import counted, first_line, moment, print_facts, print_json, print_table, printable, shortened
from .service import Given, pass_given

_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
_all_option = click.option("--all", "all_", is_flag=True, help="All dead letters of the queue.")


@click.group("dead", no_args_is_help=False)
def dead_letters() -> None:
    """Look at, revive and delete dead letters: items that used up their attempts."""


@dead_letters.command("list")
@queue_argument
@json_option
@pass_given
def list_dead(given: Given, name: str, as_json: bool) -> None:
    """List the dead letters of a queue.

    \b
    Example:
      taskqueue dead list import
    """
    letters = given.queue(name).dead_items()
    if as_json:
        print_json([dead_facts(letter) for letter in letters])
    elif letters:
        rows = [
            [letter.id, letter.failures, moment(letter.dead_time), shortened(letter.title, 40),
             shortened(first_line(letter.error), 100)]
            for letter in letters
        ]  # fmt: skip
        print_table(("id", "failures", "died (UTC)", "title", "error"), rows)
    else:
        click.echo(f"Queue {name!r} has no dead letters.")


@dead_letters.command("show")
@queue_argument
@click.argument("id_", metavar="ID", type=int)
@json_option
@pass_given
def show_dead(given: Given, name: str, id_: int, as_json: bool) -> None:
    """Show one dead letter with its whole error.

    \b
    Example:
      taskqueue dead show import 17
    """
    letter = _letters(given.queue(name), [id_])[0]
    facts = dead_facts(letter)
    if as_json:
        print_json(facts)
        return
    print_facts([(key, value) for key, value in facts.items() if key != "error"])
    click.echo("\nError")
    for line in letter.error.splitlines():
        click.echo(f"  {printable(line)}")


@dead_letters.command("revive")
@queue_argument
@_ids_argument
@_all_option
@json_option
@pass_given
def revive_dead(given: Given, name: str, ids: tuple[int, ...], all_: bool, as_json: bool) -> None:
    """Put dead letters back into their queue, with fresh attempts.

    \b
    Examples:
      taskqueue dead revive import 17 18
      taskqueue dead revive import --all
    """
    _check_choice(ids, all_)
    queue = given.queue(name)
    revived = queue.revive_items(None if all_ else _known(queue, ids))
    if as_json:
        print_json({"queue": name, "revived": revived})
    else:
        click.echo(f"Revived {counted(revived, 'dead letter')} of queue {name!r}.")


@dead_letters.command("delete")
@queue_argument
@_ids_argument
@_all_option
@json_option
@pass_given
def delete_dead(given: Given, name: str, ids: tuple[int, ...], all_: bool, as_json: bool) -> None:
    """Throw dead letters away.

    \b
    Examples:
      taskqueue dead delete import 17 18
      taskqueue dead delete import --all
    """
    _check_choice(ids, all_)
    queue = given.queue(name)
    deleted = queue.delete_dead_items(None if all_ else _known(queue, ids))
    if as_json:
        print_json({"queue": name, "deleted": deleted})
    else:
        click.echo(f"Deleted {counted(deleted, 'dead letter')} of queue {name!r}.")


def _check_choice(ids: Sequence[int], all_: bool) -> None:
    if bool(ids) == all_:
        raise click.UsageError("name the ids of dead letters, or say --all" + (", not both" if ids else ""))


def _known(queue: BatchQueue, ids: Sequence[int]) -> list[int]:
    return [letter.id for letter in _letters(queue, ids)]


def _letters(queue: BatchQueue, ids: Sequence[int]) -> list[DeadItem]:
    """Those dead letters; all must exist, else nothing is done."""
    letters = {letter.id: letter for letter in queue.dead_items()}
    missing = sorted(set(ids) - letters.keys())
    if missing:
        raise ItemNotFound(
            f"queue {queue.name!r} has no dead letter with the id {', '.join(map(str, missing))}; nothing was changed"
        )
    return [letters[item_id] for item_id in dict.fromkeys(ids)]
