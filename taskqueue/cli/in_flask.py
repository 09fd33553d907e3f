"""The same commands in an application: ``flask taskqueue ...``. Flask finds them by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import click

from ..service import QueueService
from ..web.in_app import app_context, site_of
from .border import given_before, said_in_one_line
from .group import Commands
from .service import Given


@dataclass
class _GivenByFlask(Given):
    """The service of the application."""

    ctx: click.Context | None = None
    name: str | None = None

    def _find(self) -> QueueService:
        if self.ctx is None:
            raise TypeError("a command of flask needs its context")
        return site_of(self.ctx, self.name).service

    @property
    def is_of_code(self) -> bool:
        """It always is."""
        return True

    @property
    def around(self) -> Callable[[], AbstractContextManager[Any]]:
        """The context of the application."""
        return app_context()


class _InFlask(Commands):
    """As the group ``taskqueue``, but below another one, which knows nothing of our exit codes."""

    def given(self, ctx: click.Context) -> Given:
        return _GivenByFlask(None, None, ctx.command_path, ctx=ctx, name=ctx.params.get("name"))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with said_in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with said_in_one_line():
            return super().invoke(ctx)


@click.command(cls=_InFlask, name="taskqueue", invoke_without_command=True)
@click.option("--name", metavar="NAME", help="Which one, if the application has several: the name given to TaskQueue.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def commands(ctx: click.Context, name: str | None, debug: bool) -> None:
    """Run and look after the durable task queues of this application.

    \b
    Examples:
      flask --app shop taskqueue list
      flask --app shop taskqueue run import

    The exit codes are those of the command 'taskqueue'.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    ctx.obj = given_before(ctx)
    ctx.call_on_close(ctx.obj.close)
