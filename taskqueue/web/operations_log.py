"""Failures of operations in the log of the application.

Flask's logger writes to stderr where nobody has set up logging; that of a library is silent there.
"""

from __future__ import annotations

import logging

from flask import current_app

from ..operations import OperationError


def log_failure(error: BaseException, text: str, *args: object) -> None:
    """Log what nobody has expected, with its traceback."""
    current_app.logger.error(text, *args, exc_info=error)


def log_failure_on_record(error: OperationError, operation: str) -> None:
    """The same of a direct call with a key, where it has just failed here.

    Its attempt was logged as that of any item; this is for applications in which nobody hears that.
    """
    if error.__cause__ is not None and not _is_heard(logging.getLogger("taskqueue.execution.attempt")):
        log_failure(error.__cause__, "operation %s failed", operation)


def _is_heard(logger: logging.Logger | None) -> bool:
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
