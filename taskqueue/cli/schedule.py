"""Schedules: ``schedule list``, ``add``, ``remove``, ``pause``, ``resume`` and ``run``."""

from __future__ import annotations

import click

from ..errors import ScheduleNotFound
from ..schedules import Schedule
from ..service import QueueService
from ..task import Task
from .add import values
from .facts import item_facts, schedule_facts
from .options import complete_queue, json_option
from .output import moment, one_line, print_json, print_table, shortened
from .service import Given, pass_given

_name_argument = click.argument("name", metavar="NAME")


@click.group("schedule", no_args_is_help=False)
def schedules() -> None:
    """Let workers put tasks on a queue again and again, as a cron expression says."""


@schedules.command("list")
@json_option
@pass_given
def list_schedules(given: Given, as_json: bool) -> None:
    """List the schedules, by name.

    \b
    Examples:
      taskqueue schedule list
      taskqueue schedule list --json | jq '.[].next_time'
    """
    found = [] if given.missing_file is not None else given.service.schedules()
    if as_json:
        print_json([schedule_facts(schedule) for schedule in found])
    elif found:
        rows = [
            [schedule.name, schedule.queue_name, schedule.cron, schedule.timezone,
             "paused" if schedule.is_paused else moment(schedule.next_time), moment(schedule.last_time) or "-",
             shortened(schedule.title, 40)]
            for schedule in found
        ]  # fmt: skip
        print_table(("name", "queue", "cron", "time zone", "next (UTC)", "last (UTC)", "title"), rows)
    else:
        click.echo("There are no schedules.")


@schedules.command("add")
@_name_argument
@click.argument("cron", metavar="CRON")
@click.argument("queue", metavar="QUEUE", shell_complete=complete_queue)
@click.argument("callback", metavar="MODULE:CALLBACK")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1)
@click.option("--timezone", metavar="ZONE", default="UTC", show_default=True, help="Whose clock CRON means, such as "
              "Europe/Berlin.")  # fmt: skip
@click.option("--title", default="", help="What a human sees while the task runs.")
@click.option("--weight", type=int, default=0, show_default=True, help="Lower goes first.")
@json_option
@pass_given
def add_schedule(
    given: Given, name: str, cron: str, queue: str, callback: str, arguments: tuple[str, ...], timezone: str,
    title: str, weight: int, as_json: bool,
) -> None:  # fmt: skip
    """Put a task on QUEUE whenever CRON says so; change the schedule if there is one of that NAME.

    CRON is one argument of five fields: minute, hour, day of the month, month, day of the week; a sixth before them is
    the second. Each of ARGS is JSON: text needs quotes of its own.

    \b
    Examples:
      taskqueue schedule add digest "30 6 * * MON-FRI" mails myapp.mails:digest --timezone Europe/Berlin
      taskqueue schedule add poll "*/5 * * * *" imports myapp.imports:poll '"ftp"' --title "Look for files"
    """
    given.queue(queue)  # names a missing database file
    task = Task(callback, values(arguments), title)
    schedule = given.service.schedule(name, cron, task, queue=queue, timezone=timezone, weight=weight)
    _tell(schedule, "is set", as_json)


@schedules.command("remove")
@_name_argument
@json_option
@pass_given
def remove_schedule(given: Given, name: str, as_json: bool) -> None:
    """Remove a schedule; what it has put on its queue stays there.

    \b
    Example:
      taskqueue schedule remove digest
    """
    _service(given, name).unschedule(name)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        click.echo(f"Removed schedule {name!r}.")


@schedules.command("pause")
@_name_argument
@json_option
@pass_given
def pause_schedule(given: Given, name: str, as_json: bool) -> None:
    """Let a schedule rest until it is resumed.

    \b
    Example:
      taskqueue schedule pause digest
    """
    _tell(_service(given, name).pause_schedule(name), "is paused", as_json)


@schedules.command("resume")
@_name_argument
@json_option
@pass_given
def resume_schedule(given: Given, name: str, as_json: bool) -> None:
    """Let a paused schedule come again; what was due meanwhile is left out.

    \b
    Example:
      taskqueue schedule resume digest
    """
    _tell(_service(given, name).resume_schedule(name), "goes on", as_json)


@schedules.command("run")
@_name_argument
@json_option
@pass_given
def run_schedule(given: Given, name: str, as_json: bool) -> None:
    """Put the task of a schedule on its queue now, besides its times.

    \b
    Example:
      taskqueue schedule run digest
    """
    item = _service(given, name).run_schedule(name)
    if as_json:
        print_json(item_facts(item))
    else:
        click.echo(f"Added item {item.id} {one_line(item.title)!r} to queue {item.queue_name!r}.")


def _service(given: Given, name: str) -> QueueService:
    """The service; never makes a database file."""
    if given.missing_file is not None:
        raise ScheduleNotFound(f"there is no schedule {name!r}, nor a database file {given.missing_file} to hold it")
    return given.service


def _tell(schedule: Schedule, what: str, as_json: bool) -> None:
    if as_json:
        print_json(schedule_facts(schedule))
        return
    then = "" if schedule.is_paused else f": next at {moment(schedule.next_time)} UTC on queue {schedule.queue_name!r}"
    click.echo(f"Schedule {schedule.name!r} {what}{then}.")
