"""Arguments and options that several commands share."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

import click

from .border import given_before
from .service import use_current_folder

_YEAR = 366 * 86_400


def check_seconds(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Callback of an option: a time of 0 seconds up to a year; "nan" is none."""
    if value is None or 0 <= value <= _YEAR:
        return value
    raise click.BadParameter(f"{value:g} is no time: give seconds, from 0 up to a year", ctx, param)


def complete_queue(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of queues for the shell; nothing at all when they cannot be had, and not a word about it."""
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            use_current_folder()
            given = given_before(ctx)
            try:
                return [queue.name for queue in given.queues() if queue.name.startswith(incomplete)]
            finally:
                given.close()
        except Exception:
            return []


def confirm(what: str, yes: bool) -> None:
    """Ask the human at the terminal, unless told ``--yes``; where nobody can be asked, refuse."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.ClickException(f"this would {what}: say --yes if it is meant so")
    if not click.confirm(f"This will {what}. Go on?", err=True):
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)


queue_argument = click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX",
    help="Package or module whose callbacks may run, besides those of --app and TASKQUEUE_ALLOW; repeatable.",
)
grace_option = click.option(
    "--grace",
    type=float,
    callback=check_seconds,
    default=10.0,
    show_default=True,
    help="After Ctrl-C or SIGTERM, let the item in hand go on for so long before it is interrupted and given back.",
)
