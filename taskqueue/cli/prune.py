"""Removing what was kept for long enough: ``prune``."""

from __future__ import annotations

from datetime import timedelta

import click

from ..storage.retention import Pruned
from .options import json_option
from .output import counted, print_json
from .service import Given, pass_given
from .times import as_age


@click.command("prune")
@click.option(
    "--older-than",
    metavar="AGE",
    callback=as_age,
    default="30d",
    show_default=True,
    help="What ended longer ago goes: 12h, 8w.",
)
@click.option("--dead", is_flag=True, help="Dead letters that died longer ago go as well.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
@pass_given
def prune_records(given: Given, older_than: timedelta, dead: bool, dry_run: bool, as_json: bool) -> None:
    """Remove old history of items, ended runs and batches, what was noted of what was done by hand, results whose time
    is over, what is left of calls of operations after that, and, after 14 days at the earliest, the keys by which an
    inbox knows duplicates; made for a crontab.

    No item is touched, no call that waits or runs, and no dead letter unless you say --dead.

    \b
    Examples:
      taskqueue prune --older-than 90d
      taskqueue prune --older-than 8w --dead --dry-run
    """
    pruned = Pruned() if given.missing_file else given.service.prune(older_than, dead=dead, dry_run=dry_run)
    if as_json:
        print_json({**pruned._asdict(), "dry_run": dry_run})
        return
    parts = [
        counted(pruned.endings, "recorded failure"),
        counted(pruned.dead_letters, "dead letter"),
        counted(pruned.results, "result"),
        counted(pruned.runs, "run"),
        counted(pruned.batches, "batch", "batches"),
        counted(pruned.received, "received key"),
        counted(pruned.calls, "call"),
        counted(pruned.audit, "note of what was done by hand", "notes of what was done by hand"),
    ]
    click.echo(f"{'Would remove' if dry_run else 'Removed'} {', '.join(parts)}.")
