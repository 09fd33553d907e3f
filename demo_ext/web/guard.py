"""What protects every page: headers, a token in each form, and one look for whatever goes wrong."""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus

from flask import Flask, Response, abort, make_response, render_template, request, session
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, SecurityError

from taskqueue import DatabaseError

from .sources import MAX_UPLOAD, megabytes

#: Everything from this very server; the script is that of the progress page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The request cannot be understood.",
    HTTPStatus.FORBIDDEN: "This form is not valid any more. Load the page again and repeat what you did.",
    HTTPStatus.NOT_FOUND: "There is no such page, or it belongs to another browser.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer that.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The file is too large: up to {megabytes(MAX_UPLOAD)} can be uploaded.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot be reached at the moment; nothing is lost.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong; the terminal of the server says what.",
}


def install(app: Flask) -> None:
    """Protect an application."""
    app.after_request(_add_headers)
    app.register_error_handler(HTTPException, _failed)
    for error in (DatabaseError, OperationalError):
        app.register_error_handler(error, lambda error: _message(HTTPStatus.SERVICE_UNAVAILABLE))
    app.jinja_env.globals["form_token"] = form_token


def form_token() -> str:
    """What a form of ours carries, bound to the session."""
    if "token" not in session:
        session.permanent = True
        session["token"] = secrets.token_hex(16)
    return str(session["token"])


def browser() -> str:
    """What tells this browser from others."""
    if "browser" not in session:
        session.permanent = True
        session["browser"] = secrets.token_hex(16)
    return str(session["browser"])


def check_form() -> None:
    """Refuse a post that comes from no form of ours in this browser."""
    expected, given = str(session.get("token", "")), request.form.get("token", "")
    if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
        abort(HTTPStatus.FORBIDDEN)


def _failed(error: HTTPException) -> Response | HTTPException:
    if isinstance(error, SecurityError):
        return error  # under a name that is not ours no page has an address
    response = _message(HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR))
    if isinstance(error, MethodNotAllowed):
        response.allow.update(error.valid_methods or ())
    return response


def _message(status: HTTPStatus) -> Response:
    sentence = _SENTENCES.get(status, f"The server answered: {status.phrase}.")
    return make_response(render_template("demo/message.html", title=status.phrase, message=sentence), status)


def _add_headers(response: Response) -> Response:
    if "sandbox" not in response.headers.get("Content-Security-Policy", ""):  # that of files is stricter still
        response.headers["Content-Security-Policy"] = _POLICY
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response
