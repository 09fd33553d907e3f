"""The OpenAPI document of the operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import request

from ..operations import STATES, Operation, Operations
from .operations_answers import url_of
from .operations_limits import LARGEST_PAGE, LONGEST_KEY, LONGEST_WAIT, USUAL_PAGE
from .operations_parts import HEADERS, ID_PATTERN, RESPONSES, SCHEMAS, problems, ref
from .operations_schemas import moved
from .operations_site import OperationsSite

VERSION = "3.1.0"
_JSON = "application/json"
_ID = {"name": "call_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": ID_PATTERN}}
#: Visible ASCII, plain or in quotes; blanks at no end.
_KEY = (
    rf"^([!#-~]([ -~]{{0,{LONGEST_KEY - 2}}}[!-~])?|"
    rf'"[!#-\[\]-~]([ !#-\[\]-~]{{0,{LONGEST_KEY - 2}}}[!#-\[\]-~])?")$'
)
_LINKED = {"run": "getRun", "result": "getResult", "end": "endRun", "retry": "retryRun"}


def document(site: OperationsSite) -> dict[str, Any]:
    """The document, as things stand."""
    schemas = dict(SCHEMAS)
    root = request.root_path.rstrip("/")
    paths = {path.removeprefix(root): item for path, item in _paths(site.operations, schemas)}
    return {
        "openapi": VERSION,
        "info": {"title": site.title, "version": site.version},
        "servers": [{"url": root or "/"}],
        "security": [{"user": []}],
        "tags": [{"name": "operations"}, {"name": "runs"}],
        "paths": paths,
        "components": {
            "schemas": schemas, "responses": RESPONSES, "headers": HEADERS,
            "securitySchemes": {"user": site.security_scheme()},
        },
    }  # fmt: skip


def _paths(operations: Operations, schemas: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    known = operations.known()
    yield url_of("list"), {"get": _list()}
    for operation in known:
        yield url_of("call", name=operation.name), {"post": _call(operation, schemas)}
    yield url_of("runs"), {"get": _runs([one.name for one in known])}
    one = url_of("run", call_id="0").removesuffix("0") + "{call_id}"
    yield one, {"parameters": [_ID], "get": _run(), "delete": _end()}
    yield f"{one}/result", {"parameters": [_ID], "get": _result()}
    yield f"{one}/retry", {"parameters": [_ID], "post": _retry()}


# --- operations ---


def _list() -> dict[str, Any]:
    parameters = [_parameter("queueable", {"enum": ["0", "1"]}, "Only those that may be deferred (1), or not (0).")]
    return _described(
        "listOperations", "operations", "Which operations there are.", parameters,
        {"200": _answer("The operations, by name.", "Operations"), **problems(406, 422)},
    )  # fmt: skip


def _call(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    takes = moved(operation.takes, operation.name, schemas)
    body: dict[str, Any] = {
        "type": "object",
        "properties": {"data": takes, "options": ref("schemas", "Options")},
        "additionalProperties": False,
        **({} if operation.takes_nothing else {"required": ["data"]}),
    }
    content: dict[str, Any] = {"schema": body}
    examples = operation.takes.get("examples")
    if isinstance(examples, list) and examples:
        content["examples"] = {
            str(number): {"value": {"data": example}} for number, example in enumerate(examples, start=1)
        }
    found = _described(
        f"call_{operation.name}", "operations", operation.summary or operation.name, _call_parameters(operation),
        {**_call_answers(operation, schemas), **problems(400, 406, 409, 410, 413, 415, 422, 429), "default": {
            **RESPONSES["Problem422"], "description": "What the operation itself says, with a status of its own.",
        }},
    )  # fmt: skip
    return {**found, "requestBody": {"required": True, "content": {_JSON: content}}}


def _call_parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    if operation.queueable:
        found.append(
            _parameter("Prefer", {"type": "string", "examples": ["respond-async, wait=10"]},
                       "respond-async: let a worker make the call. wait=10: answer with the result if it is there in "
                       "so many seconds. All else is ignored.", "header")
        )  # fmt: skip
    if operation.idempotent:
        kind = {"type": "string", "pattern": _KEY, "examples": ["7c9e6679-7425-40de-944b-e07fc1f90ae7"]}
        found.append(
            _parameter("Idempotency-Key", kind, "The same key and data: the answer to the first request.", "header")
        )
    return found


def _call_answers(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    gives = moved(operation.gives, f"{operation.name}.result", schemas)
    found: dict[str, Any] = {"200": _result_answer(operation.result_kind, gives)}
    if operation.queueable:
        headers = found["200"]["headers"]
        headers["Content-Location"] = ref("headers", "ContentLocation")
        headers["Preference-Applied"] = ref("headers", "PreferenceApplied")
        found["202"] = _deferred("It is on record, and a worker will execute it.")
        found["202"]["headers"]["Preference-Applied"] = ref("headers", "PreferenceApplied")
    return found


def _result_answer(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if kind != "file":
        content[_JSON] = {"schema": schema}
    if kind != "json":
        content["*/*"] = {}
    headers = {"Content-Disposition": ref("headers", "ContentDisposition")} if kind != "json" else {}
    return {"description": "What the operation has returned.", "headers": headers, "content": content}


# --- calls on record ---


def _runs(names: list[str]) -> dict[str, Any]:
    parameters = [
        _parameter("state", {"enum": [*STATES]}, "Only those in that state."),
        _parameter("operation", {"enum": names} if names else {"type": "string"}, "Only those of that operation."),
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": USUAL_PAGE},
                   "At most so many."),
        _parameter("after", {"type": "string", "pattern": ID_PATTERN}, "What was told as next."),
    ]  # fmt: skip
    answers = {"200": _answer("One's own, or an administrator's: all.", "Calls"), **problems(404, 406, 422)}
    return _described("listRuns", "runs", "Calls on record, the newest first.", parameters, answers)


def _run() -> dict[str, Any]:
    kind = {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT}
    parameters = [_parameter("wait", kind, "Answer when the call has ended, after so many seconds at the latest.")]
    answers = {"200": _answer("The call.", "Call"), **problems(404, 406, 410, 422)}
    return _described("getRun", "runs", "A call as it stands.", parameters, answers)


def _result() -> dict[str, Any]:
    parameters = [_parameter("consume", {"enum": ["0", "1"]}, "1: nobody can read it a second time.")]
    answers = {"200": _result_answer("any", {}), **problems(404, 409, 410, 422)}
    return _described("getResult", "runs", "What the operation has returned.", parameters, answers)


def _end() -> dict[str, Any]:
    meant = "cancel: only take it back; forget: only remove it. 409 when that is not possible."
    parameters = [_parameter("only", {"enum": ["cancel", "forget"]}, meant)]
    answers = {
        "200": _answer("It has not ended: it is cancelled, or asked to stop.", "Call"),
        "204": {"description": "It had ended: it is forgotten."},
        **problems(400, 404, 409, 410, 413, 415, 422),
    }
    summary = "Cancel a call that waits or runs, forget one that has ended."
    return _described("endRun", "runs", summary, parameters, answers)


def _retry() -> dict[str, Any]:
    answers = {"202": _deferred("It is executed once more."), **problems(400, 404, 409, 410, 413, 415, 422, 429)}
    found = _described("retryRun", "runs", "Execute a call once more that is dead or has failed.", [], answers)
    empty = {"type": "object", "additionalProperties": False}
    return {**found, "requestBody": {"required": True, "content": {_JSON: {"schema": empty, "example": {}}}}}


# --- parts ---


def _described(
    name: str, tag: str, summary: str, parameters: list[dict[str, Any]], responses: dict[str, Any]
) -> dict[str, Any]:
    found = {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}
    return {**found, "parameters": parameters} if parameters else found


def _parameter(name: str, schema: dict[str, Any], description: str, place: str = "query") -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": description}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": ref("schemas", schema)}}}


def _deferred(description: str) -> dict[str, Any]:
    links = {
        name: {"operationId": target, "parameters": {"call_id": "$response.body#/id"}}
        for name, target in _LINKED.items()
    }
    return {
        **_answer(description, "Call"), "headers": {"Location": ref("headers", "Location")}, "links": links
    }  # fmt: skip
