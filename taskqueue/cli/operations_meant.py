"""The operations that are meant by --app, and how their calls are shown."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigurationError
from ..operations import STATES, Call, CallNotFound, Operations
from ..operations.users import owner_shown, owner_stored
from .choosing import together
from .output import one_line
from .service import Given


def _owner(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return owner_stored(value) if value is not None else None


filter_options = together(
    click.option("--state", type=click.Choice(STATES), help="Those in this state."),
    click.option("--operation", metavar="NAME", help="Those of this operation."),
    click.option(
        "--owner", metavar="ID", callback=_owner,
        help='Those of this user; digits are a number, ":7" is the text, "" is nobody.',
    ),
)  # fmt: skip


def operations_of(given: Given) -> Operations:
    """The registry, which only the application has. Raises :class:`ConfigurationError`."""
    found = given.service.settings.operations
    if isinstance(found, Operations):
        return found
    raise ConfigurationError(
        "nothing says which operations there are: name by --app a QueueService whose module makes (or imports) its "
        "Operations"
    )


def recorded(given: Given) -> Operations:
    """The same, where a call is looked for by its id; never makes a database file. Raises :class:`CallNotFound`."""
    found = operations_of(given)
    if given.missing_file is not None:
        raise CallNotFound(f"there are no calls, nor a database file {given.missing_file} that could hold them")
    return found


def no_calls(given: Given, are_filtered: bool) -> str:
    """What is said where there are none."""
    if given.missing_file is not None:
        return f"There are no calls, nor a database file {one_line(given.missing_file)}."
    return f"There are no{' such' if are_filtered else ''} calls."


def call_facts(call: Call) -> dict[str, Any]:
    """A call as JSON, and whose it is; nothing of its data."""
    return {**call.facts(), "owner": owner_shown(call.owner)}


def progress_shown(call: Call) -> str:
    """How far it says it is."""
    progress = call.progress
    if progress is None:
        return ""
    total = f" of {progress.total:g}" if progress.total is not None else ""
    return f"{progress.done:g}{total}{f': {progress.message}' if progress.message else ''}"


def problem_shown(call: Call) -> str:
    """The error in one line."""
    error = call.error or {}
    return f"{error.get('code')}: {error.get('message')}" if error else ""
