"""The tables: ``db upgrade``."""

from __future__ import annotations

import click

from ..storage.migrations import upgrade
from .options import json_option
from .output import one_line, print_json
from .service import Given, pass_given


@click.group("db", no_args_is_help=False)
def database_tables() -> None:
    """Look after the tables in the database."""


@database_tables.command("upgrade")
@json_option
@pass_given
def upgrade_tables(given: Given, as_json: bool) -> None:
    """Bring the tables to this release, creating what is missing; no item is touched.

    \b
    Examples:
      taskqueue db upgrade
      taskqueue --database postgresql://user@host/name db upgrade
    """
    message = upgrade(given.service.database)
    if as_json:
        print_json({"message": message})
    else:
        click.echo(f"{one_line(message[:1].upper() + message[1:])}.")
