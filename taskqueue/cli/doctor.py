"""A look at the database: ``doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..storage.checkup import examine
from .options import json_option
from .output import print_json, print_table
from .service import Given, pass_given


@click.command("doctor")
@json_option
@pass_given
@click.pass_context
def examine_database(ctx: click.Context, given: Given, as_json: bool) -> None:
    """Look whether the database keeps what it promises: what a power cut would cost, how its cluster is, whether the
    clocks of its hosts fit the leases. Nothing is changed.

    The exit code is 1 when something is not good.

    \b
    Examples:
      taskqueue doctor
      TASKQUEUE_DATABASE_URL='mysql://user@/shop?host=db1&host=db2&host=db3' taskqueue doctor
    """
    if (missing := given.missing_file) is not None:
        raise click.ClickException(f"there is no database file {missing}: name the database by --database or --app")
    database = given.service.database
    findings = examine(database, given.service.settings.lease_slice)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(
            ("", "host", "what", "found"),
            [["ok" if one.is_good else "!!", one.host or "(all)", one.what, one.text] for one in findings],
        )
    if not all(finding.is_good for finding in findings):
        ctx.exit(1)
