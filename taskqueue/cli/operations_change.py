"""What administrators do to calls: ``operations cancel``, ``retry`` and ``forget``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from ..operations import FINAL, STATES, Call, CallGone, CallNotFound, NotPossible, Operations
from .choosing import together
from .operations_meant import filter_options, operations_of, recorded
from .options import confirm, json_option, yes_option
from .output import counted, print_json
from .service import Given, pass_given

_WAITING = tuple(state for state in STATES if state not in FINAL)
_UNDONE = ("dead", "failed")
_choice = together(
    click.argument("ids", metavar="[ID]...", nargs=-1),
    filter_options,
    click.option("--all", "all_", is_flag=True, help="All for which it is possible."),
    yes_option,
    json_option,
)


@click.command("cancel")
@_choice
@pass_given
def cancel_calls(given: Given, /, ids: tuple[str, ...], all_: bool, yes: bool, as_json: bool, **filters: Any) -> None:
    """Take calls back that wait, and ask those that run to stop: those named, those that match, or all.

    You are told how many match, and asked; where nobody can be asked, say --yes. An ID of no call, or of one that has
    ended, is an error (exit code 2), and nothing is cancelled.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations cancel 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service operations cancel --operation newsletter --state scheduled --yes
    """
    chosen = _chosen(given, ids, all_, filters, _WAITING)
    if chosen and not ids:
        confirm(f"cancel {counted(len(chosen), 'call')}", yes)
    done = _each(given, chosen, lambda operations, call: operations.cancel(call.id).state != "cancelled")
    stopping = sum(done)
    if as_json:
        print_json({"cancelled": len(done) - stopping, "stopping": stopping})
        return
    asked = f"; asked {counted(stopping, 'running one')} to stop" if stopping else ""
    click.echo(f"Cancelled {counted(len(done) - stopping, 'call')}{asked}.")


@click.command("retry")
@_choice
@pass_given
def retry_calls(given: Given, /, ids: tuple[str, ...], all_: bool, yes: bool, as_json: bool, **filters: Any) -> None:
    """Let calls that are dead, or have failed, be executed once more: those named, those that match, or all.

    At a terminal you are told how many match, and asked. They keep their tracking ids, and have fresh attempts.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations retry 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service operations retry --state dead --operation invoice
    """
    chosen = _chosen(given, ids, all_, filters, _UNDONE)
    if chosen and not ids and sys.stdin.isatty():
        confirm(f"retry {counted(len(chosen), 'call')}", yes)
    done = _each(given, chosen, lambda operations, call: operations.retry(call.id))
    if as_json:
        print_json({"retried": len(done)})
    else:
        click.echo(f"{counted(len(done), 'call')} will be tried again.")


@click.command("forget")
@_choice
@pass_given
def forget_calls(given: Given, /, ids: tuple[str, ...], all_: bool, yes: bool, as_json: bool, **filters: Any) -> None:
    """Remove calls that have ended, with their results and dead letters: those named, those that match, or all.

    You are told how many match, and asked; where nobody can be asked, say --yes.

    \b
    Examples:
      taskqueue --app myapp.jobs:service operations forget 0c9ad1fb5e0d4b7f8f4e2d3c1b0a9876
      taskqueue --app myapp.jobs:service operations forget --state dead --operation import --yes
    """
    chosen = _chosen(given, ids, all_, filters, FINAL)
    if chosen and not ids:
        confirm(f"forget {counted(len(chosen), 'call')}", yes)
    done = _each(given, chosen, lambda operations, call: operations.forget(call.id))
    if as_json:
        print_json({"forgotten": len(done)})
    else:
        click.echo(f"Forgot {counted(len(done), 'call')}.")


def _chosen(given: Given, ids: Sequence[str], all_: bool, filters: dict[str, Any], states: Sequence[str]) -> list[Call]:
    """The calls that are meant: what is counted for the human is what is changed, whatever ends in between."""
    is_filtered = any(value is not None for value in filters.values())
    ways = [bool(ids), all_, is_filtered]
    if sum(ways) != 1:
        both = ", not both" if any(ways) else ""
        raise click.UsageError(f"name the ids of calls, or say which by --state and the like, or --all{both}")
    state = filters["state"]
    if state is not None and state not in states:
        raise click.UsageError(f"that is possible only for calls that are {', '.join(states)}, not {state}")
    if not ids:
        operations = operations_of(given)
        if given.missing_file is not None:
            return []
        return [call for call in operations.administration.calls(**filters) if call.state in states]
    administration = recorded(given).administration
    calls = {}
    for call_id in ids:
        try:
            calls[call_id] = administration.call(call_id)
        except (CallNotFound, CallGone) as error:
            raise type(error)(f"{error.message}; nothing was changed") from error
    wrong = next((call for call in calls.values() if call.state not in states), None)
    if wrong is not None:
        raise NotPossible(
            f"call {wrong.id} is {wrong.state}, and that is possible only for calls that are {', '.join(states)}; "
            "nothing was changed"
        )
    return list(calls.values())


def _each(given: Given, calls: Sequence[Call], act: Callable[[Operations, Call], Any]) -> list[Any]:
    """Do it to each; those that others have changed meanwhile are left out."""
    done = []
    for call in calls:
        try:
            done.append(act(operations_of(given), call))
        except (NotPossible, CallNotFound, CallGone):
            continue
    return done
