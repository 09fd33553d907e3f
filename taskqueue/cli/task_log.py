"""Warnings and errors that tasks log, shown beside the progress."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .output import first_line, one_line
from .progress import Display
from .terminal_log import is_logged_elsewhere


class _TaskLogHandler(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.logged(f"{record.levelname.lower()}: {one_line(first_line(record.getMessage()))}")


@contextmanager
def task_log(display: Display) -> Iterator[None]:
    """Show what tasks log by ``ctx.log`` as lines, unless the application has set its logging up itself."""
    logger = logging.getLogger("taskqueue.task")
    if is_logged_elsewhere():
        yield
        return
    handler = _TaskLogHandler(display)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
