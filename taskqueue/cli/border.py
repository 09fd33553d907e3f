"""The border of the command line: whatever goes wrong leaves as one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from ..errors import TaskQueueError
from .output import one_line
from .service import Given

#: The argument, the state of a queue or the database does not permit what was asked.
REFUSED = 2
#: An error that nobody foresaw (EX_SOFTWARE of sysexits.h).
UNEXPECTED = 70
#: What a shell shows for a program that Ctrl-C, or the end of the pipe it writes to, has stopped.
INTERRUPTED = 130
BROKEN_PIPE = 141


class Failure(click.ClickException):
    """An error on its way out."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = exit_code


class Border(click.Group):
    """A group that turns every error of its commands into one line on stderr and an exit code."""

    def given(self, ctx: click.Context) -> Given:
        """What was said before the command; nothing is looked up yet."""
        raise NotImplementedError

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and exit."""
        code: int | None
        try:
            with said_in_one_line():
                code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.exceptions.Exit as leaving:
            code = leaving.exit_code
        sys.exit(code or 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            raise click.Abort from error
        except BrokenPipeError as error:  # whoever read our output has seen enough
            raise click.exceptions.Exit(BROKEN_PIPE) from error
        except Exception as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            if isinstance(error, TaskQueueError):
                raise Failure(str(error), REFUSED) from error
            hint = f"this was not foreseen; '{self.given(ctx).program} --debug ...' shows where it happened"
            raise Failure(f"{type(error).__name__}: {error} ({hint})", UNEXPECTED) from error


def given_before(ctx: click.Context) -> Given:
    """What was said before the command that ``ctx`` belongs to."""
    while not isinstance(ctx.command, Border) and ctx.parent is not None:
        ctx = ctx.parent
    if not isinstance(ctx.command, Border):
        raise TypeError(f"{ctx.command_path} stands in no group of ours")
    return ctx.command.given(ctx)


@contextmanager
def said_in_one_line() -> Iterator[None]:
    """Say an error that passes in one line on stderr, and leave with its exit code."""
    _write_whatever_comes()
    try:
        yield
    except click.ClickException as error:
        _say(f"Error: {one_line(error.format_message())}{_hint(error)}")
        raise click.exceptions.Exit(error.code if isinstance(error, Failure) else REFUSED) from error
    except click.Abort as error:
        raise click.exceptions.Exit(INTERRUPTED) from error
    finally:
        _flush()


def _hint(error: click.ClickException) -> str:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f" (see '{ctx.command_path} --help')" if ctx is not None else ""


def _write_whatever_comes() -> None:
    """A terminal that lacks a character gets its escape, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(line: str) -> None:
    with suppress(OSError):
        click.echo(line, err=True)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:  # said already, or nobody listens: the interpreter must not try again at its end
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
