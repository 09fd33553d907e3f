"""Log lines on stderr: of what the database does not keep, and of all that befalls commands that go on for long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler

import click

from ..redact import redact_text
from .output import printable

#: Who warns at the first use of a database.
FIRST_USE = ("taskqueue.storage", "taskqueue.service")


class _Printable(logging.Formatter):
    """Tasks and strangers have a say in what is logged, but none in what the terminal does; their secrets have none."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in redact_text(super().format(record)).splitlines())


class _Terminal(logging.Handler):
    """Writes to whatever stderr is at the moment: a bar that is drawn there stands below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


def log_to_terminal(formatter: logging.Formatter | None = None, *, of: tuple[str, ...] = ("",)) -> None:
    """Warnings and errors go to stderr, unless the application has set its logging up itself.

    To be called when its code is imported, and before the first look at a database, which may warn. A second call can
    show more.

    Arguments:
        of: how the names of those loggers begin whose lines are shown; "": all.
    """
    root = logging.getLogger()
    handler = _terminal()
    if handler is None:
        if root.handlers:
            return
        handler = _Terminal(logging.WARNING)
        handler.setFormatter(formatter or _Printable("%(asctime)s %(levelname)s %(message)s"))
        root.addHandler(handler)
    handler.filters[:] = [lambda record: record.name.startswith(of)]
    ours = logging.getLogger("taskqueue")
    if not ours.isEnabledFor(logging.WARNING):
        ours.setLevel(logging.WARNING)


@contextmanager
def first_use_on_terminal(formatter: logging.Formatter | None) -> Iterator[None]:
    """What a first use warns of is shown from now on: around the import of the application.

    That may set its logging up itself, so ours comes afterwards; or look at its database already: then what that has
    warned of is shown then.
    """
    kept = MemoryHandler(1000, flushLevel=logging.CRITICAL + 1)
    kept.setLevel(logging.WARNING)
    ours = logging.getLogger("taskqueue")
    ours.addHandler(kept)
    try:
        yield
    finally:
        ours.removeHandler(kept)
    log_to_terminal(formatter, of=FIRST_USE)
    kept.setTarget(_terminal())
    kept.close()


def _terminal() -> _Terminal | None:
    return next((one for one in logging.getLogger().handlers if isinstance(one, _Terminal)), None)


def is_logged_elsewhere() -> bool:
    """Whether the application has set its logging up itself."""
    return any(not isinstance(one, _Terminal) for one in logging.getLogger().handlers)
