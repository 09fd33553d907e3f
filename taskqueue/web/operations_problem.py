"""What went wrong with a request, as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request, url_for
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ..errors import DatabaseError, DatabaseFull, DatabaseReadOnly, DatabaseUnavailable, OutcomeUnknown
from ..operations import OperationError, StillRunning
from ..spec import is_name, shown
from .operations_log import log_failure

MEDIA_TYPE = "application/problem+json"
#: So soon a database that is away may be back (seconds).
_BACK_SOON = 5
_AWAY = (DatabaseUnavailable, DatabaseReadOnly, DatabaseFull)
#: What a call has come to that nobody executed: its state forbids to give a result.
_NOT_EXECUTED = ("cancelled", "expired")
#: Pythons name these differently.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_USUAL = {
    400: ("bad_request", "the request cannot be read"),
    404: ("not_found", "there is nothing at this address"),
    405: ("method_not_allowed", "this address does not know that method: see the header Allow"),
    413: ("too_large", "the request is too large"),
    415: ("unsupported_media_type", "send JSON, with the header Content-Type: application/json"),
    429: ("too_many_requests", "too many requests: try again later"),
}


class Problem(Exception):
    """Ends a request with an error answer.

    Arguments:
        status: of HTTP.
        code: one word for programs.
        detail: one sentence for humans.
        errors: more of it, as JSON.
        retry_after: seconds after which another try makes sense.
        headers: more headers of the answer.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, errors: Any = None, retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        found = {"type": "about:blank", "title": title_of(self.status), "status": self.status, "detail": self.detail}
        return {**found, "code": self.code, **({"errors": self.errors} if self.errors is not None else {})}

    def response(self) -> Response:
        """As it is answered."""
        try:
            text = json.dumps(self.facts(), allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # an operation gave details that are no JSON
            self.errors = None
            text = json.dumps(self.facts())
        return Response(text, self.status, self.headers, content_type=MEDIA_TYPE)


def title_of(status: int) -> str:
    """What a status is called."""
    try:
        return _TITLES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def invalid(detail: str, code: str = "invalid_request") -> Problem:
    """Of a request that can be read, but asks for what makes no sense."""
    return Problem(422, code, detail)


def internal() -> Problem:
    """Of what nobody has expected; whoever calls learns no more of it."""
    return Problem(500, "internal_error", "the request could not be answered; administrators find out why")


def problem_of(error: BaseException) -> Problem:
    """What is answered when ``error`` was raised; what nobody has expected is logged."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OperationError):
        return _of_operation(error)
    if isinstance(error, HTTPException):
        return _of_http(error)
    log_failure(error, "%s %s failed", request.method, shown(request.path))
    if isinstance(error, OutcomeUnknown):
        sentence = "the connection to the database was lost, and nobody knows whether the call was recorded"
        return Problem(503, "outcome_unknown", f"{sentence}: look at the calls before you repeat it")
    if isinstance(error, DatabaseError) and isinstance(error, _AWAY):
        sentence = "the database cannot be reached at the moment: try again later"
        return Problem(503, "unavailable", sentence, retry_after=_BACK_SOON)
    return internal()


def _of_operation(error: OperationError) -> Problem:
    headers = {}
    if isinstance(error, StillRunning):
        headers["Location"] = url_for(f"{request.blueprint}.run", call_id=error.tracking_id)
    return Problem(
        _status_of(error), error.code if is_name(error.code) else "failed", error.message, errors=error.details,
        retry_after=error.retry_after, headers=headers,
    )  # fmt: skip


def _status_of(error: OperationError) -> int:
    status = error.status
    if type(error) is OperationError and status == OperationError.status:
        # Raised by the operation itself it is its "no", which a recorded call answers alike.
        return 409 if error.code in _NOT_EXECUTED else 422
    # A class of the user's may say anything.
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    code, detail = _USUAL.get(status, (title_of(status).lower().replace(" ", "_").replace("'", ""), title_of(status)))
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    retry_after = getattr(error, "retry_after", None)
    return Problem(
        status, code, detail, headers=headers, retry_after=retry_after if isinstance(retry_after, int) else None
    )
