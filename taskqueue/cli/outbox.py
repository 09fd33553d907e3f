"""Messages of an outbox: ``outbox list``, ``flush`` and the group ``outbox dead``."""

from __future__ import annotations

from itertools import islice

import click

from ..outbox.facts import waiting_facts
from ..queues.sql_base import process
from .choosing import SHOWN, limit_option
from .options import json_option
from .outbox_dead import dead_messages
from .outbox_queues import of_service, outbox_of, queues_of, say_none, tenant_option
from .output import counted, first_line, moment, print_json, print_json_list, print_table, shortened
from .service import Given, pass_given


@click.group("outbox", no_args_is_help=False)
def outbox_messages() -> None:
    """Look at the messages of an outbox, deliver them now, revive and delete dead ones."""


@outbox_messages.command("list")
@click.option("--service", metavar="NAME", help="Those of this service.")
@click.option("--queue", metavar="NAME", help="Those on this queue.")
@tenant_option
@limit_option
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
    items = (item for one in queues_of(given, tenant)(queue) for item in one.items())
    chosen = ((item, facts) for item in items if service in (None, (facts := waiting_facts(item))["service"]))
    messages = of_service(given, service, chosen)
    if as_json:
        print_json_list(facts for _item, facts in islice(messages, limit))
        return
    rows = [
        [item.uid, item.queue_name, item.failures, moment(item.submit_time), shortened(facts["title"], 40),
         shortened(first_line(item.last_error or ""), 80)]
        for item, facts in islice(messages, limit or SHOWN)
    ]  # fmt: skip
    if not rows:
        say_none(given, tenant, "No message waits.")
        return
    print_table(("id", "queue", "attempts", "recorded (UTC)", "message", "last error"), rows)
    if next(messages, None) is not None:
        click.echo("... and more (--limit)")


@outbox_messages.command("flush")
@click.option("--queue", metavar="NAME", help="Only this queue.")
@tenant_option
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
    outbox = outbox_of(given)
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


outbox_messages.add_command(dead_messages)
