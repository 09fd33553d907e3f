"""Warnings and errors that tasks log, shown beside the progress."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .output import first_line, one_line
from .progress import Display
from .terminal_log import terminal_handler


class _TaskLogHandler(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.logged(f"{record.levelname.lower()}: {one_line(first_line(record.getMessage()))}")


@contextmanager
def task_log(display: Display) -> Iterator[None]:
    """Show what tasks log by ``ctx.log`` as lines, unless the application has set its logging up itself."""
    terminal = terminal_handler()
    if terminal is None:
        yield
        return
    logger, handler = logging.getLogger("taskqueue.task"), _TaskLogHandler(display)

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name != logger.name

    logger.addHandler(handler)
    terminal.addFilter(is_of_others)
    try:
        yield
    finally:
        terminal.removeFilter(is_of_others)
        logger.removeHandler(handler)
