"""The command ``taskqueue``: its own options, and where its commands are found."""

from __future__ import annotations

import importlib
import logging

import click

from ..tracing import instrument_if_asked
from .border import Border, given_before
from .service import Given, use_current_folder

#: Loaded when asked for: a list of queues must not wait for the progress bar and the migrations to be imported.
_COMMANDS = {
    "list": "show:list_queues",
    "show": "show:show_queue",
    "items": "show:list_items",
    "add": "add:add_item",
    "run": "run:run_queue",
    "runs": "runs:list_runs",
    "loop": "loop:loop_queue",
    "work": "work:work",
    "workers": "workers:list_workers",
    "retry": "run:retry_head",
    "skip": "change:skip_head",
    "cancel": "cancel:cancel_items",
    "dead": "dead:dead_letters",
    "history": "history:show_history",
    "result": "history:show_result",
    "pause": "change:pause_queue",
    "resume": "change:resume_queue",
    "reset": "change:reset_queue",
    "delete": "change:delete_queue",
    "schedule": "schedule:schedules",
    "outbox": "outbox:outbox_messages",
    "operations": "operations:operation_calls",
    "channels": "channels:channels_of_messages",
    "prune": "prune:prune_records",
    "web": "web:serve_pages",
    "db": "db:database_tables",
    "doctor": "doctor:examine_database",
    "health": "health:look_after",
}


class Commands(Border):
    """The commands, whatever stands before them."""

    def given(self, ctx: click.Context) -> Given:
        return Given(ctx.params.get("app"), ctx.params.get("database"))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        return command


@click.command(cls=Commands, name="taskqueue", invoke_without_command=True)
@click.option("--app", metavar="MODULE:SERVICE", help="A QueueService (or its Outbox or Operations) in your code, with "
              "its database, allow list, handlers and key.")  # fmt: skip
@click.option("--database", metavar="URL", help="Where the queues are; else $TASKQUEUE_DATABASE_URL, else SQLite in "
              "./taskqueue.db.")  # fmt: skip
@click.option("--debug", is_flag=True, help="Show tracebacks and the log of the package.")
@click.version_option(package_name="taskqueue-runner", prog_name="taskqueue")
@click.pass_context
def main(ctx: click.Context, app: str | None, database: str | None, debug: bool) -> None:
    """Run and look after durable task queues.

    \b
    Examples:
      taskqueue list
      taskqueue --app myapp.jobs:service run import
      taskqueue --database sqlite:////srv/myapp/queue.db run import --allow myapp
      taskqueue dead list import

    \b
    Exit codes:
      0    all went well
      1    a run ended with failures or with items left; or you answered no
      2    a wrong argument, a state that forbids it, or a database error
      70   an unexpected error (see --debug)
      130  stopped by Ctrl-C
      141  the reader of the output went away
      143  stopped by SIGTERM

    \b
    Completion of commands and queue names in the shell:
      eval "$(_TASKQUEUE_COMPLETE=bash_source taskqueue)"   in ~/.bashrc
      eval "$(_TASKQUEUE_COMPLETE=zsh_source taskqueue)"    in ~/.zshrc
      _TASKQUEUE_COMPLETE=fish_source taskqueue | source    in config.fish
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    if debug:
        logging.basicConfig(level=logging.INFO)
    instrument_if_asked()
    use_current_folder()
    ctx.obj = given_before(ctx)
    ctx.call_on_close(ctx.obj.close)
