"""Dead messages of an outbox: ``outbox dead list``, ``show``, ``revive`` and ``delete``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import click

from ..errors import ItemNotFound
from ..outbox.dead import DeadMessages
from ..outbox.facts import dead_facts
from .choosing import SHOWN, error_option, limit_option, since_option, together, until_option
from .options import confirm, json_option, yes_option
from .outbox_queues import of_service, queues_of, say_none, tenant_option
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
    click.option("--service", metavar="NAME", help="Those of this service."),
    click.option("--event", metavar="NAME", help="Those of this event or method."),
    click.option("--queue", metavar="NAME", help="Those on this queue."),
    error_option,
    since_option,
    until_option,
)
_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
_all_option = click.option("--all", "all_", is_flag=True, help="All dead messages.")


@click.group("dead", no_args_is_help=False)
def dead_messages() -> None:
    """Look at, revive and delete dead messages: those that used up their attempts."""


@dead_messages.command("list")
@_filter_options
@tenant_option
@limit_option
@json_option
@pass_given
def list_dead(given: Given, /, tenant: str | None, limit: int | None, as_json: bool, **filters: Any) -> None:
    """List the dead messages, by queue, the oldest first.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox dead list
      taskqueue --database sqlite:///app.db outbox dead list --service flights --since 2h --json
    """
    dead = _dead(given, tenant)
    entries = of_service(given, filters["service"], dead.list(**filters))
    if as_json:
        print_json_list(dead_facts(entry) for entry in islice(entries, limit))
        return
    rows = [
        [entry.id, entry.attempts, moment(entry.dead_time), shortened(entry.title, 40),
         shortened(first_line(entry.error), 80)]
        for entry in islice(entries, limit or SHOWN)
    ]  # fmt: skip
    if not rows:
        say_none(given, tenant, f"There are no{' such' if _given(filters) else ''} dead messages.")
        return
    print_table(("id", "attempts", "died (UTC)", "message", "error"), rows)
    left = dead.count(**filters) - len(rows)
    if left > 0:
        click.echo(f"... and {left} more (--limit)")


@dead_messages.command("show")
@click.argument("id_", metavar="ID")
@tenant_option
@json_option
@pass_given
def show_dead(given: Given, id_: str, tenant: str | None, as_json: bool) -> None:
    """Show one dead message with its whole error; what looks like a secret in its arguments is hidden.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox dead show 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service outbox dead show 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876 --json | jq .headers
    """
    entry = next(_dead(given, tenant).list(id_), None)
    if entry is None:
        raise ItemNotFound(f"there is no dead message with the id {id_}")
    facts = dead_facts(entry)
    if as_json:
        print_json(facts)
        return
    facts |= {"submit_time": f"{moment(entry.submit_time)} UTC", "dead_time": f"{moment(entry.dead_time)} UTC"}
    print_facts([(key, value) for key, value in facts.items() if key not in ("error", "traceback")])
    print_text("Error", entry.error)
    if entry.traceback:
        print_text("Traceback", entry.traceback)


@dead_messages.command("revive")
@_ids_argument
@_filter_options
@tenant_option
@_all_option
@yes_option
@json_option
@pass_given
def revive_dead(
    given: Given, /, ids: tuple[str, ...], tenant: str | None, all_: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Let dead messages be delivered again, with fresh attempts: those named, those that match, or all.

    At a terminal you are told how many match, and asked.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox dead revive 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service outbox dead revive --service flights --error timeout
      taskqueue --app myapp.jobs:service outbox dead revive --all --yes
    """
    dead = _dead(given, tenant)
    chosen = _chosen(given, dead, ids, all_, filters)
    if not ids and chosen and sys.stdin.isatty():
        confirm(f"revive {counted(len(chosen), 'dead message')}", yes)
    revived = dead.revive(*chosen) if chosen else 0
    if as_json:
        print_json({"revived": revived})
    else:
        click.echo(f"Revived {counted(revived, 'dead message')}.")


@dead_messages.command("delete")
@_ids_argument
@_filter_options
@tenant_option
@_all_option
@yes_option
@json_option
@pass_given
def delete_dead(
    given: Given, /, ids: tuple[str, ...], tenant: str | None, all_: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Throw dead messages away: those named, those that match, or all.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox dead delete 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service outbox dead delete --event booked --until 30d --yes
    """
    dead = _dead(given, tenant)
    chosen = _chosen(given, dead, ids, all_, filters)
    if not ids and chosen:
        confirm(f"throw away {counted(len(chosen), 'dead message')}", yes)
    deleted = dead.delete(*chosen) if chosen else 0
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(f"Deleted {counted(deleted, 'dead message')}.")


# --- what is meant ---


def _chosen(given: Given, dead: DeadMessages, ids: Sequence[str], all_: bool, filters: Mapping[str, Any]) -> list[str]:
    """The ids that are meant: what is counted for the human is what is changed, whatever dies in between."""
    ways = [bool(ids), all_, _given(filters)]
    if sum(ways) != 1:
        both = ", not both" if any(ways) else ""
        raise click.UsageError(f"name the ids of dead messages, or say which by --service and the like, or --all{both}")
    found = [entry.id for entry in of_service(given, filters["service"], dead.list(*ids, **filters))]
    missing = sorted(set(ids).difference(found))
    if missing:
        raise ItemNotFound(f"there is no dead message with the id {', '.join(missing)}; nothing was changed")
    return found


def _given(filters: Mapping[str, Any]) -> bool:
    return any(value is not None for value in filters.values())


def _dead(given: Given, tenant: str | None) -> DeadMessages:
    return DeadMessages(queues_of(given, tenant))
