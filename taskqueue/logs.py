"""Log lines for programs: one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from .redact import redact_text
from .spans import current_ids

#: What ``ctx.log`` and the lines on an item carry; those on its failure also the title.
_PLACE = ("queue", "item", "attempt")
_FACTS = (*_PLACE, "title")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, in ASCII.

    Its members are ``time`` (ISO 8601, UTC, milliseconds), ``level``, ``logger`` and ``message``, and where they are
    known ``queue``, ``item`` (its id), ``attempt``, ``title``, ``trace_id`` and ``span_id`` (of OpenTelemetry's
    current span), and ``exception`` (the traceback).
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        facts = {fact: vars(record)[fact] for fact in _FACTS if fact in vars(record)}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **facts,
            "message": _without_place(record.getMessage(), facts),
        }
        if ids := current_ids():
            line["trace_id"], line["span_id"] = ids
        if trouble := self._trouble(record):
            line["exception"] = redact_text(trouble)
        return json.dumps(line, default=str)

    def _trouble(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else record.exc_text
        return "\n".join(filter(None, (exception, record.stack_info)))


def _without_place(message: str, facts: dict[str, Any]) -> str:
    """What is a member of its own need not stand before the message, as it does for humans."""
    if not facts.keys() >= set(_PLACE):
        return message
    message = message.removeprefix("[{queue} #{item} attempt {attempt}] ".format(**facts))
    return message.removeprefix("{title}: ".format(**facts)) if "title" in facts else message
