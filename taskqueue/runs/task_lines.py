"""What tasks log, for the log of their run."""

from __future__ import annotations

import logging
from collections.abc import Callable

_LOGGER = logging.getLogger("taskqueue.task")
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"))


class TaskLines(logging.Handler):
    """Hands on what the tasks of one queue log through ``ctx.log``, while it is attached.

    Arguments:
        queue_name: the queue.
        note: called ``note(level, item_id, text)``.
    """

    def __init__(self, queue_name: str, note: Callable[[str, int, str], None]) -> None:
        super().__init__()
        self._queue_name = queue_name
        self._note = note

    def attach(self) -> None:
        """From now on."""
        _LOGGER.addHandler(self)

    def detach(self) -> None:
        """No more."""
        _LOGGER.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        item_id = getattr(record, "item", None)
        if getattr(record, "queue", None) != self._queue_name or not isinstance(item_id, int):
            return
        level = next((name for least, name in _LEVELS if record.levelno >= least), "info")
        try:
            # The line begins with queue, item and attempt, which the run knows.
            self._note(level, item_id, record.getMessage().partition("] ")[2])
        except Exception:  # a mistake in a log line must not fail the task
            self.handleError(record)
