"""What the operations say no with: the codes are those that clients of coreBOS know."""

from __future__ import annotations

from typing import Any

from taskqueue.operations import OperationFailed

ACCESS_DENIED = "ACCESS_DENIED"
INVALID_ID = "INVALID_ID_ATTRIBUTE"
INVALID_MODULE = "INVALID_MODULE"
INVALID_VALUE = "INVALID_VALUE"
MANDATORY_MISSING = "MANDATORY_FIELDS_MISSING"
NOT_FOUND = "RECORD_NOT_FOUND"
NOT_UNIQUE = "RECORD_NOT_UNIQUE"
REFERENCE_INVALID = "REFERENCE_INVALID"
SEARCH_MISSING = "SEARCH_VALUE_NOT_PROVIDED"
LEAD_CONVERTED = "LEAD_ALREADY_CONVERTED"
WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
CONVERSION_FAILED = "CONVERSION_FAILED"


def failed(code: str, message: str, **details: Any) -> OperationFailed:
    """An operation's no: a code, a sentence and perhaps more as JSON."""
    return OperationFailed(message, code=code, details=details or None)


class Stopped(Exception):
    """Whoever executes the operation asked it to stop: all is undone, and done again later unless it was cancelled."""
