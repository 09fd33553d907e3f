"""Log lines on stderr, for commands that go on for long."""

from __future__ import annotations

import logging

from ..redact import redact_text
from .output import printable


class _Printable(logging.Formatter):
    """Tasks and strangers have a say in what is logged, but none in what the terminal does; their secrets have none."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in redact_text(super().format(record)).splitlines())


def log_to_terminal(formatter: logging.Formatter | None = None, level: int = logging.WARNING) -> None:
    """Lines of that level and above go to stderr, unless the application has set its logging up itself."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.setFormatter(formatter or _Printable("%(asctime)s %(levelname)s %(message)s"))
    root.addHandler(handler)
    logging.getLogger("taskqueue").setLevel(min(level, logging.WARNING))
