"""Operations and their calls: ``operations list``, ``show``, ``result`` and ``names``."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ..operations import File, NotFinished, NotPossible, Operation
from ..operations.users import owner_shown
from .choosing import SHOWN, limit_option
from .operations_change import cancel_calls, forget_calls, retry_calls
from .operations_drain import drain_calls
from .operations_meant import (
    call_facts,
    filter_options,
    no_calls,
    operations_of,
    problem_shown,
    progress_shown,
    recorded,
)
from .options import json_option
from .output import (
    counted,
    duration,
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

_id_argument = click.argument("id_", metavar="ID")


@click.group("operations", no_args_is_help=False)
def operation_calls() -> None:
    """Execute deferred calls of operations, look at them, cancel, retry and forget them."""


@operation_calls.command("list")
@filter_options
@limit_option
@json_option
@pass_given
def list_calls(
    given: Given, state: str | None, operation: str | None, owner: str | None, limit: int | None, as_json: bool
) -> None:
    """List the calls on record, the newest first; what they were called with is not shown.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations list
      taskqueue --app myapp.jobs:service operations list --state dead --operation invoice
      taskqueue --app myapp.jobs:service operations list --owner alice --json | jq '.[].id'
    """
    administration = operations_of(given).administration
    filters: dict[str, Any] = {"state": state, "operation": operation, "owner": owner}
    calls = administration.calls(**filters) if given.missing_file is None else iter(())
    if as_json:
        print_json_list(call_facts(call) for call in islice(calls, limit))
        return
    rows = [
        [call.id, call.operation, call.state, owner_shown(call.owner), call.attempts, moment(call.created),
         shortened(first_line(problem_shown(call) or progress_shown(call)), 80)]
        for call in islice(calls, limit or SHOWN)
    ]  # fmt: skip
    if not rows:
        click.echo(no_calls(given, any(value is not None for value in filters.values())))
        return
    print_table(("id", "operation", "state", "owner", "attempts", "created (UTC)", "error or progress"), rows)
    if next(calls, None) is not None:
        click.echo("... and more (--limit)")


@operation_calls.command("show")
@_id_argument
@json_option
@pass_given
def show_call(given: Given, id_: str, as_json: bool) -> None:
    """Show one call: its state, attempts, progress and times, the whole error, and how big its result is.

    Unlike users, you see the error of the program too; what the call was made with, and its result, are not shown.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations show 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service operations show 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876 --json | jq -r .traceback
    """
    insight = recorded(given).administration.look_into(id_)
    call = insight.call
    more: dict[str, Any] = {name: value for name, value in vars(insight).items() if name != "call"}
    if as_json:
        print_json({**call_facts(call), **more})
        return
    times = {name: getattr(call, name) for name in ("created", "due", "deadline", "finished", "expires")}
    size = insight.result_bytes
    facts = {
        "id": call.id,
        "operation": call.operation,
        "state": f"{call.state}, asked to stop" if call.is_stopping else call.state,
        "owner": owner_shown(call.owner),
        "attempts": call.attempts,
        "progress": progress_shown(call),
        **{name: f"{moment(time)} UTC" for name, time in times.items() if time is not None},
        "item": f"{insight.item_id} of queue {insight.queue}",
        "result": f"{insight.result_type}, {counted(size, 'byte')}" if size is not None else "",
        "error": problem_shown(call),
    }
    print_facts([(name, value) for name, value in facts.items() if value != ""])
    for title, text in (("Latest failure", insight.last_error), ("Traceback", insight.traceback)):
        if text:
            print_text(title, text)
    if call.error is not None and call.error.get("details") is not None:
        print_text("Details", json.dumps(call.error["details"], indent=2))


@operation_calls.command("result")
@_id_argument
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True),
              help="Write it there; - for the standard output.")  # fmt: skip
@pass_given
def show_result(given: Given, id_: str, output: str | None) -> None:
    """Print what a call has returned, as JSON, or write it to a file; a result that is a file needs --output.

    It stays readable afterwards.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations result 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876 | jq .total
      taskqueue --app myapp.jobs:service operations result 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876 --output invoice.pdf
    """
    operations = recorded(given)
    call = operations.administration.call(id_)
    if not call.is_final:
        raise NotFinished(f"the call has no result yet: it is {call.state}")
    if call.state != "succeeded":
        raise NotPossible(f"the call has no result: it is {call.state} ({problem_shown(call)})")
    value = operations.result(id_)
    if isinstance(value, File) and output is None:
        raise NotPossible(
            f"the result is a file ({value.media_type}, {counted(len(value.content), 'byte')}): say where to write it "
            "by --output FILE, or --output - for the standard output"
        )
    if output is None:
        print_json(value)
        return
    content = value.content if isinstance(value, File) else json.dumps(value).encode() + b"\n"
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"Wrote {counted(len(content), 'byte')} to {click.format_filename(output)}.", err=True)


@operation_calls.command("names")
@click.option("--queueable/--not-queueable", default=None, help="Only those that may (not) be deferred.")
@json_option
@pass_given
def list_names(given: Given, queueable: bool | None, as_json: bool) -> None:
    """List the operations that the application has registered.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations names --queueable
      taskqueue --app myapp.jobs:service operations names --json | jq '.[] | select(.idempotent) | .name'
    """
    found = operations_of(given).known(queueable=queueable)
    if as_json:
        print_json_list(map(_operation_facts, found))
        return
    if not found:
        click.echo("There are no such operations." if queueable is not None else "No operation is registered.")
        return
    rows = [
        [each.name, _yes(each.queueable), _yes(each.idempotent),
         "all" if each.roles is None else ", ".join(sorted(each.roles)) or "none", each.retry.attempts, each.on_lost,
         _time(each.result_ttl), shortened(each.summary, 60)]
        for each in found
    ]  # fmt: skip
    print_table(("name", "queueable", "idempotent", "roles", "attempts", "on lost", "kept", "summary"), rows)


def _operation_facts(operation: Operation) -> dict[str, Any]:
    limits = operation.limits
    return {
        "name": operation.name,
        "queueable": operation.queueable,
        "idempotent": operation.idempotent,
        "roles": sorted(operation.roles) if operation.roles is not None else None,
        "attempts": operation.retry.attempts,
        "on_lost": operation.on_lost,
        "result_ttl": operation.result_ttl,
        "pending": limits.pending,
        "rate": limits.rate,
        "per": limits.window / 1000 if limits.rate is not None else None,
        "summary": operation.summary,
        "schema": operation.takes,
    }


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _time(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    return counted(round(days), "day") if days and not rest else duration(seconds)


for _command in (drain_calls, cancel_calls, retry_calls, forget_calls):
    operation_calls.add_command(_command)
