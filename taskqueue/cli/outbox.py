"""Messages of an outbox: ``outbox list``, ``flush``, and ``outbox dead list``, ``revive`` and ``delete``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import click

from ..errors import ConfigurationError, ItemNotFound, SpecError
from ..outbox.dead import DeadMessages
from ..outbox.facts import dead_facts, waiting_facts
from ..outbox.outbox import Outbox
from ..outbox.queues import PAYLOAD
from ..queues.batch import BatchQueue
from ..queues.sql_base import process
from ..spec import nearest
from .options import confirm, json_option, yes_option
from .output import counted, first_line, moment, print_json, print_json_list, print_table, shortened
from .service import Given, pass_given
from .times import as_moment

Command = TypeVar("Command", bound=Callable[..., Any])
#: How many a human is shown, unless asked for more.
_SHOWN = 100

_FILTERS = (
    click.option("--service", metavar="NAME", help="Those of this service."),
    click.option("--event", metavar="NAME", help="Those of this event or method."),
    click.option("--queue", metavar="NAME", help="Those on this queue."),
    click.option("--error", metavar="TEXT", help="Those with this text in their error, in capitals or not."),
    click.option("--since", metavar="TIME", callback=as_moment, help="Those that died at that moment or later: "
                 "2026-02-28T13:30 (UTC), or 2h for two hours ago."),
    click.option("--until", metavar="TIME", callback=as_moment, help="Those that died before that moment."),
)  # fmt: skip
_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
_all_option = click.option("--all", "all_", is_flag=True, help="All dead messages.")
_tenant_option = click.option("--tenant", metavar="NAME", help="On the database of this tenant.")
_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help=f"Show at most so many.  [default: {_SHOWN}; --json: all]"
)


def _filter_options(command: Command) -> Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group("outbox", no_args_is_help=False)
def outbox_messages() -> None:
    """Look at the messages of an outbox, deliver them now, revive and delete dead ones."""


@outbox_messages.command("list")
@click.option("--service", metavar="NAME", help="Those of this service.")
@click.option("--queue", metavar="NAME", help="Those on this queue.")
@_tenant_option
@_limit_option
@json_option
@pass_given
def list_messages(
    given: Given, service: str | None, queue: str | None, tenant: str | None, limit: int | None, as_json: bool
) -> None:
    """List the messages that wait, by queue and in its order; what looks like a secret is hidden.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox list
      taskqueue --database sqlite:///app.db outbox list --service flights --json | jq '.[].id'
    """
    items = (item for one in _queues(given, tenant)(queue) for item in one.items())
    messages = (facts for facts in map(waiting_facts, items) if service in (None, facts["service"]))
    if as_json:
        print_json_list(islice(messages, limit))
        return
    rows = [
        [facts["id"], facts["queue"], facts["attempts"], facts["submit_time"][:19], shortened(facts["title"], 40),
         shortened(first_line(facts["last_error"] or ""), 80)]
        for facts in islice(messages, limit or _SHOWN)
    ]  # fmt: skip
    if not rows:
        click.echo("No message waits.")
        return
    print_table(("id", "queue", "attempts", "recorded (UTC)", "message", "last error"), rows)
    if next(messages, None) is not None:
        click.echo("... and more (--limit)")


@outbox_messages.command("flush")
@click.option("--queue", metavar="NAME", help="Only this queue.")
@_tenant_option
@click.option("--no-wait", is_flag=True, help="Do not wait for what workers are just delivering.")
@json_option
@pass_given
def flush(given: Given, queue: str | None, tenant: str | None, no_wait: bool, as_json: bool) -> None:
    """Deliver what is due now, in this process, for all known tenants too. What fails is tried again later, or is dead,
    as always.

    \b
    Examples:
      taskqueue --app myapp.jobs:service outbox flush
      taskqueue --app myapp.jobs:service outbox flush --queue mails --json
    """
    outbox = _outbox(given)
    process.program = "taskqueue outbox flush"
    with given.around():
        attempts = outbox.flush(queue, tenant, wait=not no_wait)
    chosen = (
        [outbox.for_tenant(tenant)] if tenant is not None else [outbox, *map(outbox.for_tenant, outbox.known_tenants())]
    )
    waiting = dead = 0
    for one in chosen:
        for standing in one.queues.standing():
            if queue is None or queue in one.queues.names_of(standing):
                waiting, dead = waiting + standing.number_of_items(), dead + standing.count_dead_items()
    if as_json:
        print_json({"attempts": attempts, "waiting": waiting, "dead": dead})
    else:
        click.echo(f"Made {counted(attempts, 'attempt')}; {counted(waiting, 'message')} waiting, {dead} dead.")


@outbox_messages.group("dead", no_args_is_help=False)
def dead_messages() -> None:
    """Look at, revive and delete dead messages: those that used up their attempts."""


@dead_messages.command("list")
@_filter_options
@_tenant_option
@_limit_option
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
    entries = dead.list(**filters)
    if as_json:
        print_json_list(dead_facts(entry) for entry in islice(entries, limit))
        return
    rows = [
        [entry.id, entry.attempts, moment(entry.dead_time), shortened(entry.title, 40),
         shortened(first_line(entry.error), 80)]
        for entry in islice(entries, limit or _SHOWN)
    ]  # fmt: skip
    if not rows:
        click.echo(f"There are no{' such' if _given(filters) else ''} dead messages.")
        return
    print_table(("id", "attempts", "died (UTC)", "message", "error"), rows)
    left = dead.count(**filters) - len(rows)
    if left > 0:
        click.echo(f"... and {left} more (--limit)")


@dead_messages.command("revive")
@_ids_argument
@_filter_options
@_tenant_option
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
    chosen = _chosen(dead, ids, all_, filters)
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
@_tenant_option
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
    chosen = _chosen(dead, ids, all_, filters)
    if not ids and chosen:
        confirm(f"throw away {counted(len(chosen), 'dead message')}", yes)
    deleted = dead.delete(*chosen) if chosen else 0
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(f"Deleted {counted(deleted, 'dead message')}.")


# --- what is meant ---


def _chosen(dead: DeadMessages, ids: Sequence[str], all_: bool, filters: Mapping[str, Any]) -> list[str]:
    """The ids that are meant: what is counted for the human is what is changed, whatever dies in between."""
    ways = [bool(ids), all_, _given(filters)]
    if sum(ways) != 1:
        both = ", not both" if any(ways) else ""
        raise click.UsageError(f"name the ids of dead messages, or say which by --service and the like, or --all{both}")
    found = [entry.id for entry in dead.list(*ids, **filters)]
    missing = sorted(set(ids).difference(found))
    if missing:
        raise ItemNotFound(f"there is no dead message with the id {', '.join(missing)}; nothing was changed")
    return found


def _given(filters: Mapping[str, Any]) -> bool:
    return any(value is not None for value in filters.values())


def _outbox(given: Given) -> Outbox:
    """What delivers: it knows the services, which only the application has. Raises :class:`ConfigurationError`."""
    found = given.service.settings.outbox
    if isinstance(found, Outbox):
        return found
    raise ConfigurationError(
        "nothing says who delivers: name by --app a QueueService whose module makes (or imports) its Outbox"
    )


def _queues(given: Given, tenant: str | None) -> Callable[[str | None], Iterable[BatchQueue]]:
    """The queues of the outbox of --app; of a database alone those of all applications."""
    if tenant is not None:
        return _outbox(given).for_tenant(tenant).queues.named
    outbox = given.service.settings.outbox
    if isinstance(outbox, Outbox) and given.missing_file is None:
        return outbox.queues.named

    def named(name: str | None) -> list[BatchQueue]:
        found = [queue for queue in given.queues() if queue.spec.payload == PAYLOAD]
        chosen = [queue for queue in found if name in (None, queue.name)]
        if name is not None and not chosen:
            raise SpecError(f"no outbox has a queue {name!r}{nearest(name, [queue.name for queue in found])}")
        return chosen

    return named


def _dead(given: Given, tenant: str | None) -> DeadMessages:
    return DeadMessages(_queues(given, tenant))
