"""The addresses of operations: called, deferred, looked at, ended."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from ..errors import SerializationError, SpecError, TaskQueueError
from ..interrupts import let_interrupt_pass
from ..operations import Call, NotPossible, Operation, OperationError, Operations, User
from ..storage.faults import is_driver_error, translate
from .operations_answers import as_facts, as_json, as_result, check_accepted, facts_of, url_of
from .operations_docs import page
from .operations_limits import LARGEST_PAGE, LONGEST_WAIT, USUAL_PAGE
from .operations_log import log_failure, log_failure_on_record
from .operations_openapi import document
from .operations_prefer import Preferences, key_of
from .operations_problem import Problem, internal, invalid
from .operations_reading import (
    Asked,
    check_query,
    flag_in,
    is_sent_by_other_site,
    number_in,
    read_call,
    read_nothing,
    whole_in,
    word_in,
)
from .operations_schemas import self_contained
from .operations_site import OperationsSite, current_site

#: Under which an application knows :class:`OperationName`.
CONVERTER = "taskqueue_operation"


class OperationName(BaseConverter):
    """The part of an address that names an operation; three names are addresses of ours."""

    regex = r"(?!(?:runs|docs|openapi\.json)\Z)[^/]+"


def add_operation_views(blueprint: Blueprint) -> None:
    """Give a blueprint the addresses."""
    add = blueprint.add_url_rule
    add("", "list", _list)
    add("/openapi.json", "openapi", _openapi)
    add("/docs", "docs", _docs)
    add(f"/<{CONVERTER}:name>", "call", _call, methods=["POST"])
    add("/runs", "runs", _runs)
    add("/runs/<call_id>", "run", _run)
    add("/runs/<call_id>", "end", _end, methods=["DELETE"])
    add("/runs/<call_id>/result", "result", _result)
    add("/runs/<call_id>/retry", "retry", _retry, methods=["POST"])


# --- operations ---


def _list() -> Response:
    site = current_site()
    site.user()
    check_accepted()
    check_query(request, "queueable")
    known = site.operations.known(queueable=flag_in(request, "queueable"))
    return as_json({"operations": [_described(site.operations, one) for one in known]})


def _described(operations: Operations, one: Operation) -> dict[str, Any]:
    return {
        "name": one.name,
        "summary": one.summary,
        "queueable": one.queueable,
        "idempotent": one.idempotent,
        "schema": self_contained(one.takes),
        "result_schema": self_contained(one.gives),
        "aliases": operations.aliases_of(one.name),
    }


def _openapi() -> Response:
    site = current_site()
    site.user()
    check_accepted()
    return as_json(document(site))


def _docs() -> str:
    site = current_site()
    site.user()
    check_accepted("text/html")
    return page(site)


def _call(name: str) -> Response:
    site = current_site()
    user = site.user()
    operation = site.operations.named(name)
    check_query(request)
    asked, key, prefers = read_call(request, site.max_bytes), key_of(request), Preferences.of(request)
    if asked.is_later or (prefers.respond_async if asked.defer is None else asked.defer):
        return _defer(site, user, operation, asked, key, prefers)
    return _execute(site.operations, operation, asked.data, user, key)


def _execute(operations: Operations, operation: Operation, data: Any, user: User, key: str | None) -> Response:
    try:
        return as_result(operations.call(operation.name, data, user=user, key=key))
    except OperationError as error:
        log_failure_on_record(error, operation.name)
        raise
    except Problem:
        raise
    except (SpecError, SerializationError) as error:
        if key is None:  # of the operation itself: what it raises nobody may see
            raise _failed(operation, error) from error
        raise invalid(str(error)) from error
    except BaseException as error:
        let_interrupt_pass(error)
        if is_driver_error(error):
            error = translate(error, operations.service.database.url)
        if isinstance(error, TaskQueueError):
            raise error
        raise _failed(operation, error) from error


def _failed(operation: Operation, error: BaseException) -> Problem:
    log_failure(error, "operation %s failed", operation.name)
    return internal()


def _defer(
    site: OperationsSite, user: User, operation: Operation, asked: Asked, key: str | None, prefers: Preferences
) -> Response:
    check_accepted()
    try:
        call = site.operations.defer(
            operation.name, asked.data, user=user, delay=asked.delay, release_time=asked.release_time,
            expires=asked.expires, key=key,
        )  # fmt: skip
    except (SpecError, SerializationError) as error:
        raise invalid(str(error)) from error
    applied = ["respond-async"] if prefers.respond_async else []
    answer = None
    if prefers.wait is not None:
        seconds = min(prefers.wait, int(site.max_wait))
        applied.append(f"wait={seconds}")
        call = site.operations.wait(call.id, seconds, user=user)
        if call.is_final:
            answer = _result_of(site.operations, call, user)
            answer.headers["Content-Location"] = url_of("result", call_id=call.id)
    if answer is None:
        answer = as_facts(call, user, 202)
        answer.headers["Location"] = url_of("run", call_id=call.id)
    if applied:
        answer.headers["Preference-Applied"] = ", ".join(applied)
    return answer


def _result_of(operations: Operations, call: Call, user: User, *, consume: bool = False) -> Response:
    return as_result(operations.result(call.id, user=user, consume=consume))


# --- calls on record ---


def _runs() -> Response:
    site = current_site()
    user = site.user()
    check_accepted()
    check_query(request, "state", "operation", "limit", "after")
    limit = whole_in(request, "limit", 1, LARGEST_PAGE) or USUAL_PAGE
    state, operation, after = (request.args.get(name) for name in ("state", "operation", "after"))
    try:
        found = site.operations.calls(user=user, state=state, operation=operation, limit=limit + 1, after=after)
    except SpecError as error:
        raise invalid(str(error)) from error
    page = found[:limit]
    following = page[-1].id if len(found) > limit else None
    return as_json({"runs": [facts_of(call, user) for call in page], "next": following})


def _run(call_id: str) -> Response:
    site = current_site()
    user = site.user()
    check_accepted()
    check_query(request, "wait")
    seconds = number_in(request, "wait", 0, LONGEST_WAIT)
    if seconds:
        return as_facts(site.operations.wait(call_id, min(seconds, site.max_wait), user=user), user)
    return as_facts(site.operations.get(call_id, user=user), user)


def _result(call_id: str) -> Response:
    site = current_site()
    user = site.user()
    check_query(request, "consume")
    consume = bool(flag_in(request, "consume"))
    if consume and is_sent_by_other_site(request):
        raise Problem(403, "foreign_origin", "this request was sent by a page of another site")
    # HEAD only looks: nobody would have what it takes away.
    consume = consume and request.method == "GET"
    return as_result(site.operations.result(call_id, user=user, consume=consume))


def _end(call_id: str) -> Response:
    site = current_site()
    user = site.user()
    check_query(request, "only")
    only = word_in(request, "only", ("cancel", "forget"))
    read_nothing(request, site.max_bytes)
    if only != "forget":
        try:
            if only == "cancel" or not site.operations.get(call_id, user=user).is_final:
                return as_facts(site.operations.cancel(call_id, user=user), user)
        except NotPossible:  # it has ended
            if only == "cancel":
                raise
    site.operations.forget(call_id, user=user)
    answer = Response(status=204)
    del answer.headers["Content-Type"]
    return answer


def _retry(call_id: str) -> Response:
    site = current_site()
    user = site.user()
    check_query(request)
    read_nothing(request, site.max_bytes)
    answer = as_facts(site.operations.retry(call_id, user=user), user, 202)
    answer.headers["Location"] = url_of("run", call_id=call_id)
    return answer
