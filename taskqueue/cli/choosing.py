"""The options by which commands choose among what is listed, and how much of it they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .times import as_moment

Command = TypeVar("Command", bound=Callable[..., Any])
#: How many a human is shown, unless asked for more.
SHOWN = 100

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help=f"Show at most so many.  [default: {SHOWN}; --json: all]"
)
error_option = click.option("--error", metavar="TEXT", help="Those with this text in their error, in capitals or not.")
since_option = click.option(
    "--since", metavar="TIME", callback=as_moment,
    help="Those that died at that moment or later: 2026-02-28T13:30 (UTC), or 2h for two hours ago.",
)  # fmt: skip
until_option = click.option("--until", metavar="TIME", callback=as_moment, help="Those that died before that moment.")


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """One decorator for several options, which the help lists in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
