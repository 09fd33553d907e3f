"""The door for clients of coreBOS: one address, ``operation=``, ``cbwsOptions``, ``getQueuedOperationResult``.

It exists only where an application makes one.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from ..durations import seconds_of
from ..errors import ConfigurationError, SerializationError, SpecError
from ..interrupts import let_interrupt_pass
from ..operations import (
    CallGone,
    CallNotFound,
    NotFinished,
    NotQueueable,
    Operation,
    OperationError,
    Operations,
    UnknownOperation,
    User,
)
from ..spec import shown
from . import csrf
from .answers import protect
from .operations_log import log_failure, log_failure_on_record
from .operations_user import UserHook
from .webservice_data import data_of
from .webservice_envelope import INVALID, MISSING, Refused, failure, internal, of_call, of_error, success, text_of
from .webservice_options import GENERATE, Options, parse
from .webservice_request import Asked, read
from .webservice_session import AccessKey, Sessions
from .webservice_who import Who, owner_of

#: What ``getQueuedOperationResult`` says of all that has no result for whoever asks. Clients compare it.
NOT_YET = "Operation not queued or not finished yet"
RESULT = "getqueuedoperationresult"
LOGIN = ("getchallenge", "login", "logout")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
Caller = User | str | int


class Webservice:
    """An endpoint as coreBOS has one.

    Arguments:
        app: the application; or call :meth:`init_app`.
        operations: which operations can be called.
        url: its address; the same with ``.php`` is another name of it.
        identity: ``identity()`` returns the :class:`User` who is signed in, or their id, or None; without it
            Flask-Login is asked, if it is there.
        access_key: ``access_key(username)`` returns the access key of a user (or that and their :class:`User` or id,
            where the id is not the name), or None; with it ``getchallenge``, ``login`` and ``logout`` are there.
        secret_key: signs session names; without it the application's ``secret_key``.
        session_lifetime: for how long a session name is good: seconds, a timedelta or a text as "8h".
        read_once: as in coreBOS a result is gone when it was read; False: it stays for the operation's ``result_ttl``.
        as_text: as in coreBOS the inner envelope is a text of JSON; False: it is an object.
        max_bytes: the largest request.
        name: of the blueprint, for a second endpoint.

    Raises :class:`ConfigurationError`, also when an operation is called as one of its own; :class:`SpecError`.
    """

    def __init__(
        self, app: Flask | None = None, operations: Operations | None = None, *, url: str = "/webservice",
        identity: UserHook | None = None, access_key: AccessKey | None = None, secret_key: str | bytes | None = None,
        session_lifetime: float | timedelta | str = "8h", read_once: bool = True, as_text: bool = True,
        max_bytes: int = 1_048_576, name: str = "webservice",
    ) -> None:  # fmt: skip
        if not name.isidentifier():
            raise ConfigurationError(f"the name of the blueprint must be an identifier, not {shown(name)}")
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 1:
            raise ConfigurationError(f"max_bytes must be a whole number of at least 1, not {shown(max_bytes)}")
        if not url.startswith("/"):
            raise ConfigurationError(f"url must begin with '/', not {shown(url)}")
        lifetime = seconds_of(session_lifetime, "session_lifetime")
        self.name = name
        self._url = url
        self._sessions = Sessions(access_key, secret_key, lifetime) if access_key is not None else None
        self._who = Who(identity, self._sessions)
        self._read_once = read_once
        self._as_text = as_text
        self._max_bytes = max_bytes
        self._operations = operations
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, operations: Operations | None = None) -> None:
        """Hang the endpoint into ``app``, with ``operations`` or those given before."""
        self._operations = operations or self._operations
        self._check_names(self.operations)
        blueprint = Blueprint(self.name, __name__)
        for url in dict.fromkeys((self._url, self._url.removesuffix(".php") + ".php")):
            blueprint.add_url_rule(url, "endpoint", self._view, methods=_METHODS)
        blueprint.after_request(protect)
        blueprint.register_error_handler(400, self._refused_by_host)
        csrf.exempt(app, blueprint)
        app.register_blueprint(blueprint)

    @property
    def operations(self) -> Operations:
        """Which operations can be called. Raises :class:`ConfigurationError` when none were given."""
        if not isinstance(self._operations, Operations):
            raise ConfigurationError("give Webservice the operations: Webservice(app, operations)")
        return self._operations

    def queueable_names(self) -> list[str]:
        """The operations that may be deferred, in lower case, as clients compare them."""
        return sorted(operation.name.lower() for operation in self.operations.known(queueable=True))

    def _check_names(self, operations: Operations) -> None:
        for name in self._built_in:
            if operations.alike(name) is not None:
                raise ConfigurationError(f"the endpoint has an operation {name!r} of its own: rename yours")

    @property
    def _built_in(self) -> tuple[str, ...]:
        return (RESULT, *(LOGIN if self._sessions is not None else ()))

    # --- requests ---

    def _view(self) -> Response:
        if request.method not in ("GET", "POST"):
            answer = _response(failure(INVALID, f"{request.method} is not understood: GET or POST"))
            answer.status_code = 405
            answer.headers["Allow"] = "GET, POST"
            return answer
        return _response(self._answer())

    def _answer(self) -> dict[str, Any]:
        try:
            asked = read(request, self._max_bytes)
            return self._built_in_answer(asked) or self._answer_of_operation(asked)
        except Refused as refused:
            return failure(refused.code, refused.message)
        except OperationError as error:
            return of_error(error)
        except HTTPException as error:  # a body that cannot be read
            return failure(INVALID, f"the request cannot be read: {error.name}")
        except Exception as error:
            log_failure(error, "the request could not be answered")
            return internal()

    @staticmethod
    def _refused_by_host(error: HTTPException) -> Any:
        if csrf.refusal_by_host(error) is None:
            return error
        current_app.logger.warning(
            "Flask-WTF's CSRFProtect refused a request: call CSRFProtect(app) before Webservice(app)"
        )
        return _response(failure("ACCESS_DENIED", "the application's protection of forms refuses requests of programs"))

    # --- what the endpoint does itself ---

    def _built_in_answer(self, asked: Asked) -> dict[str, Any] | None:
        name = asked.operation.lower() if asked.operation.isascii() else ""
        if name not in self._built_in:
            return None
        self._check_names(self.operations)
        if parse(asked.options) != Options():
            raise NotQueueable(f"{asked.operation} cannot be deferred, and takes no options")
        if name == RESULT:
            return self._result(asked)
        assert self._sessions is not None  # noqa: S101  (else these names are not built in)
        if name != "getchallenge" and request.method != "POST":
            raise Refused(INVALID, f"{asked.operation} must be a POST request")
        if name == "getchallenge":
            return success(self._sessions.challenge(asked.fields.get("username")))
        if name == "login":
            return success(self._sessions.login(asked.fields.get("username"), asked.fields.get("accessKey")))
        self._who.asks(request, asked, only_reads=True)
        return success({"message": "successfull"})  # sic

    def _result(self, asked: Asked) -> dict[str, Any]:
        user = self._who.asks(request, asked, only_reads=True)
        if "operationTrackingID" not in asked.fields:
            raise Refused(MISSING, "the parameter operationTrackingID is missing")
        try:
            found = self.operations.outcome(asked.fields["operationTrackingID"], user=user, consume=self._read_once)
        except (CallNotFound, CallGone, NotFinished):
            return success(NOT_YET)
        inner = of_call(*found)
        return success(text_of(inner) if self._as_text else inner)

    # --- operations ---

    def _answer_of_operation(self, asked: Asked) -> dict[str, Any]:
        # Before anything is told of the operation, it is known that somebody asks who may know.
        user = self._who.asks(request, asked, only_reads=False)
        options = parse(asked.options)
        operation = self.operations.alike(asked.operation)
        if operation is None:
            raise UnknownOperation(f"there is no operation {shown(asked.operation)}")
        data = data_of(operation, asked.fields)
        key = _generated(operation, data, user) if options.key == GENERATE else options.key
        if options.is_deferred:
            return self._defer(operation, data, user, options.delay, key)
        return self._call(operation, data, user, key)

    def _defer(
        self, operation: Operation, data: Any, user: Caller, delay: float, key: str | None
    ) -> dict[str, Any]:  # fmt: skip
        try:
            call = self.operations.defer(operation.name, data, user=user, delay=delay, key=key)
        except (SpecError, SerializationError) as error:
            raise Refused(INVALID, f"the call cannot be recorded: {error}") from error
        return success({"operationTrackingID": call.id}, moreinfo=None)

    def _call(self, operation: Operation, data: Any, user: Caller, key: str | None) -> dict[str, Any]:
        try:
            return success(self.operations.call(operation.name, data, user=user, key=key))
        except OperationError as error:
            log_failure_on_record(error, operation.name)
            raise
        except BaseException as error:
            if key is not None and isinstance(error, SerializationError):  # it could not be put on record
                raise Refused(INVALID, f"the call cannot be recorded: {error}") from error
            let_interrupt_pass(error)
            log_failure(error, "operation %s failed, called by %s", operation.name, owner_of(user))
            return internal()


def _generated(operation: Operation, data: Any, user: Caller) -> str:
    """A key by which the same call of the same user is recognised."""
    text = json.dumps([operation.name, owner_of(user), data], sort_keys=True)
    return f"generated:{hashlib.sha256(text.encode()).hexdigest()}"


def _response(envelope: dict[str, Any]) -> Response:
    try:
        text = text_of(envelope)
    except (ValueError, RecursionError) as error:
        log_failure(error, "an operation's answer is no JSON")
        text = text_of(internal())
    return current_app.response_class(text, mimetype="application/json")
