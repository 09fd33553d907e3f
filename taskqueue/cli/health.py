"""Whether the queues are looked after: ``health``."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..metrics.health import OLDEST, troubles
from .options import check_seconds, complete_queue, json_option
from .output import one_line, print_json
from .service import Given, pass_given


@click.command("health")
@click.argument("names", metavar="[QUEUE]...", nargs=-1, shell_complete=complete_queue)
@click.option("--oldest", type=float, default=OLDEST, show_default=True, callback=check_seconds, metavar="SECONDS",
              help="An item may wait so long.")  # fmt: skip
@click.option("--cron", "by_cron", is_flag=True, help="Workers need not be there: cron starts them.")
@json_option
@pass_given
@click.pass_context
def look_after(
    ctx: click.Context, given: Given, names: tuple[str, ...], oldest: float, by_cron: bool, as_json: bool
) -> None:
    """Say whether the database can be reached, workers serve the queues, and nothing has been waiting for too long.

    Without names: all queues with agent "server". What is paused rests on purpose. The exit code is 1 when something is
    not as it should be, and 2 when it cannot be looked, as without a database file.

    \b
    Examples:
      taskqueue health
      taskqueue health imports mails --oldest 60 || mail -s 'queues are stuck' admin@example.org
    """
    if (missing := given.missing_file) is not None:
        raise click.ClickException(f"there is no database file {missing}: name the database by --database or --app")
    found = troubles(given.service, names or None, oldest=oldest, by_workers=not by_cron)
    if as_json:
        print_json({"status": "failing" if found else "ok", "troubles": [asdict(trouble) for trouble in found]})
    else:
        for trouble in found:
            click.echo(one_line(trouble.text))
        if not found:
            click.echo("ok")
    if found:
        ctx.exit(1)
