"""The envelopes of coreBOS: every answer is one, whatever has happened."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from ..operations import Call, File, OperationError, StillRunning

#: The words for programs: ours, and those of coreBOS (or in its style). An operation's own words stay as they are.
CODES = {
    "access_denied": "ACCESS_DENIED",
    "bad_request": "INVALID_REQUEST",
    "cancelled": "OPERATION_CANCELLED",
    "expired": "OPERATION_EXPIRED",
    "failed": "OPERATION_FAILED",
    "gone": "RECORD_NOT_FOUND",
    "internal_error": "INTERNAL_SERVER_ERROR",
    "invalid_data": "VALIDATION_FAILED",
    "key_reused": "CLIENT_REQUEST_IDENTIFIER_REUSED",
    "not_finished": "OPERATION_NOT_FINISHED",
    "not_found": "RECORD_NOT_FOUND",
    "not_idempotent": "OPERATION_NOT_IDEMPOTENT",
    "not_possible": "OPERATION_NOT_POSSIBLE",
    "not_queueable": "OPERATION_NOT_QUEUEABLE",
    "still_running": "OPERATION_STILL_RUNNING",
    "too_many_calls": "TOO_MANY_REQUESTS",
    "unknown_operation": "UNKNOWN_OPERATION",
}
MISSING = "MANDATORY_FIELDS_MISSING"
INTERNAL = "INTERNAL_SERVER_ERROR"
INVALID = "INVALID_REQUEST"
BAD_OPTIONS = "INVALID_CBWSOPTIONS"
_MOST_PLACES = 5
#: Errors of the library that speak of the key of a call.
_OF_KEYS = ("key_reused", "still_running")


class Refused(Exception):
    """Ends a request with an error.

    Arguments:
        code: one word for programs, in capitals.
        message: one sentence for humans.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def success(result: Any, **beside: Any) -> dict[str, Any]:
    """The envelope of a result; a :class:`File` becomes an object with its content in base64."""
    return {"success": True, "result": _file(result) if isinstance(result, File) else result, **beside}


def failure(code: str, message: str, details: Any = None) -> dict[str, Any]:
    """The envelope of an error."""
    error = {"code": code, "message": message}
    return {"success": False, "error": error if details is None else {**error, "details": details}}


def internal() -> dict[str, Any]:
    """The envelope for what nobody outside is told."""
    return failure(INTERNAL, "the operation could not be executed; administrators find out why")


def of_error(error: OperationError) -> dict[str, Any]:
    """The envelope of what is wrong with a call, or of its no."""
    facts = error.facts()
    if isinstance(error, StillRunning):
        facts["details"] = {"operationTrackingID": error.tracking_id}
    return _of_facts(facts)


def of_call(call: Call, value: Any) -> dict[str, Any]:
    """The envelope of a call that has ended: what a direct call would have answered."""
    if call.state == "succeeded":
        return success(value)
    return _of_facts(call.error or {"code": call.state, "message": f"the call is {call.state}"})


def text_of(envelope: Mapping[str, Any]) -> str:
    """An envelope as JSON. Numbers that JSON does not know (NaN, infinite) become null."""
    try:
        return json.dumps(envelope, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):  # the details of an operation's error may be anything, too
        known = to_jsonable_python(envelope, inf_nan_mode="null", serialize_unknown=True)
        return json.dumps(known, separators=(",", ":"))


def _of_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    code, message, details = str(facts["code"]), str(facts["message"]), facts.get("details")
    places = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if code in _OF_KEYS:  # as these clients call it
        message = message.replace("this idempotency key", "this ClientRequestIdentifier").replace("new key", "new one")
    if code != "invalid_data":
        return failure(CODES.get(code, code), message, details)
    is_missing = any(one.get("kind") == "missing" for one in places)
    if places:  # many clients show the message alone
        named = "; ".join(f"{_place(one)}: {one.get('message')}" for one in places[:_MOST_PLACES])
        message = f"{message}: {named}"
    return failure(MISSING if is_missing else CODES[code], message, details)


def _place(problem: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in problem.get("at") or ()) or "the data"


def _file(file: File) -> dict[str, Any]:
    return {
        "filename": file.name, "filetype": file.media_type, "filesize": len(file.content),
        "attachment": b64encode(file.content).decode(),
    }  # fmt: skip
