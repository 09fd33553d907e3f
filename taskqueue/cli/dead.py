"""Dead letters: ``dead list``, ``show``, ``revive`` and ``delete``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click

from ..errors import ItemNotFound
from ..queues.batch import BatchQueue
from .choosing import SHOWN, error_option, limit_option, since_option, together, until_option
from .facts import dead_facts
from .options import confirm, json_option, queue_argument, yes_option
from .output import (
    counted,
    first_line,
    moment,
    print_facts,
    print_json,
    print_json_list,
    print_table,
    print_text,
    shortened,
)
from .service import Given, pass_given

_filter_options = together(
    error_option,
    click.option("--callback", metavar="NAME", help="Those that call package.module:function, or anything in a module "
                 "or package of that name."),
    since_option,
    until_option,
)  # fmt: skip
_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(min=0))
_all_option = click.option("--all", "all_", is_flag=True, help="All dead letters of the queue.")


@click.group("dead", no_args_is_help=False)
def dead_letters() -> None:
    """Look at, revive and delete dead letters: items that used up their attempts."""


@dead_letters.command("list")
@queue_argument
@_filter_options
@limit_option
@json_option
@pass_given
def list_dead(given: Given, /, name: str, limit: int | None, as_json: bool, **filters: Any) -> None:
    """List the dead letters of a queue, oldest id first.

    \b
    Examples:
      taskqueue dead list import
      taskqueue dead list import --error timeout --since 2h
      taskqueue dead list import --callback shop.mails --json | jq '.[].id'
    """
    queue = given.queue(name)
    letters = queue.dead_letters(**filters)
    if as_json:
        print_json_list(dead_facts(letter) for letter in islice(letters, limit))
        return
    rows = [
        [letter.id, letter.attempts, moment(letter.dead_time), shortened(letter.title, 40),
         shortened(first_line(letter.error), 100)]
        for letter in islice(letters, limit or SHOWN)
    ]  # fmt: skip
    if not rows:
        such = " such" if _given(filters) else ""
        click.echo(f"Queue {name!r} has no{such} dead letters.")
        return
    print_table(("id", "attempts", "died (UTC)", "title", "error"), rows)
    left = queue.count_dead_items(**filters) - len(rows)
    if left > 0:
        click.echo(f"... and {left} more (--limit)")


@dead_letters.command("show")
@queue_argument
@click.argument("id_", metavar="ID", type=click.IntRange(min=0))
@json_option
@pass_given
def show_dead(given: Given, name: str, id_: int, as_json: bool) -> None:
    """Show one dead letter with its whole error; what looks like a secret in its arguments is hidden.

    \b
    Example:
      taskqueue dead show import 17
    """
    queue = given.queue(name)
    _check_known(queue, [id_])
    facts = dead_facts(queue.dead_items([id_])[0])
    if as_json:
        print_json(facts)
        return
    print_facts([(key, value) for key, value in facts.items() if key not in ("error", "traceback")])
    print_text("Error", facts["error"])
    if facts["traceback"]:
        print_text("Traceback", facts["traceback"])


@dead_letters.command("revive")
@queue_argument
@_ids_argument
@_filter_options
@_all_option
@yes_option
@json_option
@pass_given
def revive_dead(
    given: Given, /, name: str, ids: tuple[int, ...], all_: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Put dead letters back into their queue, with fresh attempts: those named, those that match, or all.

    At a terminal you are told how many match, and asked. An ID that is no dead letter is an error (exit code 2), and
    nothing is revived; that nothing matches, or there is none at all, is no error.

    \b
    Examples:
      taskqueue dead revive import 17 18
      taskqueue dead revive import --callback shop.mails:send --since 2026-02-28
      taskqueue dead revive import --all --yes
    """
    queue = given.queue(name)
    chosen = _chosen(queue, ids, all_, filters)
    if not ids and chosen and sys.stdin.isatty():
        confirm(f"revive {_letters(chosen)} of queue {name!r}", yes)
    revived = queue.revive_items(chosen)
    if as_json:
        print_json({"queue": name, "revived": revived})
    else:
        click.echo(f"Revived {counted(revived, 'dead letter')} of queue {name!r}.")


@dead_letters.command("delete")
@queue_argument
@_ids_argument
@_filter_options
@_all_option
@yes_option
@json_option
@pass_given
def delete_dead(
    given: Given, /, name: str, ids: tuple[int, ...], all_: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Throw dead letters away: those named, those that match, or all.

    At a terminal you are told how many match, and asked; elsewhere say --yes. An ID that is no dead letter is an error
    (exit code 2), and nothing is deleted; that nothing matches, or there is none at all, is no error.

    \b
    Examples:
      taskqueue dead delete import 17 18
      taskqueue dead delete import --error "no such customer"
      taskqueue dead delete import --all --yes
    """
    queue = given.queue(name)
    chosen = _chosen(queue, ids, all_, filters)
    if not ids and chosen:
        confirm(f"throw away {_letters(chosen)} of queue {name!r}", yes)
    deleted = queue.delete_dead_items(chosen)
    if as_json:
        print_json({"queue": name, "deleted": deleted})
    else:
        click.echo(f"Deleted {counted(deleted, 'dead letter')} of queue {name!r}.")


def _chosen(queue: BatchQueue, ids: Sequence[int], all_: bool, filters: Mapping[str, Any]) -> list[int]:
    """The ids that are meant: what is counted for the human is what is changed, whatever dies in between."""
    ways = [bool(ids), all_, _given(filters)]
    if sum(ways) != 1:
        both = ", not both" if any(ways) else ""
        raise click.UsageError(f"name the ids of dead letters, or say which by --error and the like, or --all{both}")
    if ids:
        _check_known(queue, ids)
        return list(dict.fromkeys(ids))
    return list(queue.dead_ids(**filters))


def _given(filters: Mapping[str, Any]) -> bool:
    return any(value is not None for value in filters.values())


def _letters(ids: Sequence[int]) -> str:
    return counted(len(ids), "dead letter")


def _check_known(queue: BatchQueue, ids: Sequence[int]) -> None:
    """All must exist, else nothing is done."""
    missing = sorted(set(ids).difference(queue.dead_ids(ids)))
    if missing:
        raise ItemNotFound(
            f"queue {queue.name!r} has no dead letter with the id {', '.join(map(str, missing))}; nothing was changed"
        )
