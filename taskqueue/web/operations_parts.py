"""What the OpenAPI document says once and uses often: headers, answers, schemas of calls and problems."""

from __future__ import annotations

from typing import Any

from ..operations import STATES

ID_PATTERN = "^[0-9a-f]{32}$"
#: As far ahead as a queue takes it.
CENTURY = 3_162_240_000
_EXAMPLE_ID = "5f0c1d2e3b4a59687766554433221100"
_MOMENT = {"type": "string", "format": "date-time"}
_SECONDS = {"type": "number", "minimum": 0, "maximum": CENTURY}


def ref(kind: str, name: str) -> dict[str, str]:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string", **more}}


HEADERS: dict[str, Any] = {
    "Location": _text("Where the state of the call is read."),
    "ContentLocation": _text("Where this result is read again."),
    "RetryAfter": {
        "description": "Seconds after which another try makes sense.", "schema": {"type": "integer", "minimum": 1}
    },
    "PreferenceApplied": _text("Which preferences were followed.", examples=["respond-async, wait=10"]),
    "ContentDisposition": _text("Of a file: that it is to be saved, and under which name."),
    "Challenge": _text("How to show who you are."),
}  # fmt: skip


def _headers(**names: str) -> dict[str, Any]:
    return {"headers": {name.replace("_", "-"): ref("headers", part) for name, part in names.items()}}


def _problem(status: int, code: str, description: str, detail: str, **headers: str) -> dict[str, Any]:
    example = {"type": "about:blank", "title": description, "status": status, "detail": detail, "code": code}
    content = {"application/problem+json": {"schema": ref("schemas", "Problem"), "example": example}}
    return {"description": description, "content": content, **(_headers(**headers) if headers else {})}


#: Answers by the name under which the document has them; the status is in the name.
RESPONSES: dict[str, Any] = {
    "Problem400": _problem(400, "bad_json", "Bad Request", "the body is no valid JSON"),
    "Problem401": _problem(401, "not_signed_in", "Unauthorized", "sign in first", WWW_Authenticate="Challenge"),
    "Problem403": _problem(403, "access_denied", "Forbidden", "this user may not call create_contact"),
    "Problem404": _problem(404, "not_found", "Not Found", "there is no such call, or it is not yours to see"),
    "Problem406": _problem(406, "not_acceptable", "Not Acceptable", "here is nothing but application/json"),
    "Problem409": _problem(
        409, "not_finished", "Conflict", "the call has not ended yet, it is running", Retry_After="RetryAfter",
        Location="Location",
    ),
    "Problem410": _problem(410, "gone", "Gone", "the time is over for which the result was kept, or it was read once"),
    "Problem413": _problem(413, "too_large", "Content Too Large", "the body must have at most 1048576 bytes"),
    "Problem415": _problem(415, "unsupported_media_type", "Unsupported Media Type", "send JSON"),
    "Problem422": _problem(422, "invalid_data", "Unprocessable Content", "the data do not fit the schema"),
    "Problem429": _problem(429, "too_many_calls", "Too Many Requests", "try again later", Retry_After="RetryAfter"),
    "Problem500": _problem(500, "internal_error", "Internal Server Error", "the request could not be answered"),
    "Problem503": _problem(503, "unavailable", "Service Unavailable", "try again later", Retry_After="RetryAfter"),
}  # fmt: skip


def problems(*statuses: int) -> dict[str, Any]:
    """The error answers of an address; some may come from each."""
    found = sorted({401, 403, 500, 503, *statuses})
    return {str(status): ref("responses", f"Problem{status}") for status in found}


def _either(*kinds: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*kinds, {"type": "null"}]}


def _object(
    properties: dict[str, Any], description: str, *, optional: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "type": "object", "description": description, "properties": {**properties, **(optional or {})},
        "required": [*properties], "additionalProperties": False, **more,
    }  # fmt: skip


def _options(description: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "description": description, "properties": properties, "additionalProperties": False
    }  # fmt: skip


_TRUE = {"const": True}
_EXPIRES = {"expires": {"anyOf": [_SECONDS, _MOMENT], "description": "It is not begun later."}}
SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "One sentence for humans."},
            "code": {"type": "string", "description": "One word for programs."},
            "errors": {"description": "More of it: each place of the data and what is wrong there, for example."},
        },
        "required": ["type", "title", "status", "detail", "code"],
    },
    "Options": {
        "description": "How an operation is called.",
        "anyOf": [
            _options("Now, or as soon as a worker comes to it.", defer={"type": "boolean"}),
            _options("Later.", defer=_TRUE, delay=_SECONDS, **_EXPIRES),
            _options("At a moment.", defer=_TRUE, release_time=_MOMENT, **_EXPIRES),
        ],
    },
    "Call": _object(
        {
            "id": {"type": "string", "pattern": ID_PATTERN, "description": "The tracking id."},
            "operation": {"type": "string"},
            "state": {"enum": [*STATES]},
            "stopping": {"type": "boolean", "description": "It runs, and was asked to stop."},
            "attempts": {"type": "integer", "minimum": 0},
            "progress": _either(
                _object(
                    {
                        "done": {"type": "number"}, "total": _either({"type": "number"}), "message": {"type": "string"}
                    },
                    "What the operation has reported of itself.",
                )
            ),
            "created": _MOMENT,
            **{name: _either(_MOMENT) for name in ("due", "deadline", "finished", "expires")},
            "error": _either(
                {
                    "type": "object",
                    "properties": {
                        "code": {"type": "string"}, "message": {"type": "string"}, "details": {},
                        "status": {"type": "integer", "minimum": 400, "maximum": 499},
                    },
                    "required": ["code", "message"],
                    "additionalProperties": False,
                }
            ),
            "links": _object({"self": {"type": "string"}, "result": {"type": "string"}}, "Where to go on."),
        },
        "A call with a tracking id, as it stands.",
        optional={
            "owner": {"type": "string", "description": "Whose it is: digits are a number, \":7\" is the text, \"\" is "
                                                       "nobody. Only administrators are told."}
        },
        examples=[{
            "id": _EXAMPLE_ID, "operation": "create_contact", "state": "queued", "stopping": False,
            "attempts": 0, "progress": None, "created": "2030-01-31T12:00:00Z", "due": None, "deadline": None,
            "finished": None, "expires": None, "error": None,
            "links": {"self": f"/ops/runs/{_EXAMPLE_ID}", "result": f"/ops/runs/{_EXAMPLE_ID}/result"},
        }],
    ),
    "Calls": _object(
        {
            "runs": {"type": "array", "items": ref("schemas", "Call")},
            "next": {"description": "What to give as after; null: there are no more.",
                     **_either({"type": "string", "pattern": ID_PATTERN})},
        },
        "Calls, the newest first.",
    ),
    "Operations": _object(
        {
            "operations": {
                "type": "array",
                "items": _object(
                    {
                        "name": {"type": "string"}, "summary": {"type": "string"}, "queueable": {"type": "boolean"},
                        "idempotent": {"type": "boolean"}, "schema": {"type": "object"},
                        "result_schema": {"type": "object"},
                        "aliases": {"type": "array", "items": {"type": "string"}},
                    },
                    "One operation; schema and result_schema are JSON schemas.",
                ),
            }
        },
        "All operations.",
    ),
}  # fmt: skip
