"""What a request to the door of coreBOS says: fields of an address or a form, or a JSON object; all by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from ..spec import shown
from .webservice_envelope import BAD_OPTIONS, INVALID, Refused

#: Where a session name may come, beside the field ``sessionName``.
SESSION_HEADER = "corebos-authorization"
OPTIONS = "cbwsOptions"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_IN_BRACKETS = re.compile(r"cbwsOptions\[([^\[\]]*)\]")
_PHP_ARRAY = re.compile(r"[^\[]+\[.*\]", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """One request.

    Arguments:
        operation: the name as it was sent.
        session_name: None when none was sent.
        options: what ``cbwsOptions`` says, as it was sent; None: nothing.
        fields: all else, by name.
    """

    operation: str
    session_name: str | None
    options: Any
    fields: dict[str, Any]


def read(request: Request, max_bytes: int) -> Asked:
    """Read a request of at most so many bytes. Raises :class:`Refused` on what makes no sense."""
    _check_size(request, max_bytes)
    _check_text(request)
    fields = _fields(request)
    operation = fields.pop("operation", None)
    if not isinstance(operation, str) or not operation:
        raise Refused(INVALID, "the parameter operation is missing: it names the operation")
    session_name = _session_name(fields.pop("sessionName", None), request)
    form = fields.pop("format", "json")
    if not isinstance(form, str) or form.lower() not in ("json", ""):
        raise Refused(INVALID, f"format is json, not {shown(form)}")
    return Asked(operation, session_name, _options(fields), fields)


def loads(text: str | bytes) -> Any:
    """JSON as the standard has it, each name once. Raises ValueError, RecursionError."""
    value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    json.dumps(value, ensure_ascii=False).encode()  # halves of a character fit into no database
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _check_size(request: Request, max_bytes: int) -> None:
    length = request.content_length
    if (length is None and request.headers.get("Transfer-Encoding")) or (length or 0) > max_bytes:
        raise Refused("REQUEST_TOO_LARGE", f"the request is larger than {max_bytes} bytes, or does not say how large")
    if request.method == "GET" and length:
        # What stands there may be meant as options: without them it would be executed at once.
        raise Refused(INVALID, "a GET request has no body: send the parameters in the address, or POST them")
    request.max_form_memory_size = max_bytes


def _check_text(request: Request) -> None:
    """Flask puts a sign of its own in the place of what is no UTF-8: something else would be stored than was sent."""
    is_form = request.method == "POST" and request.mimetype == _FORMS[0]
    for part in (request.query_string, request.get_data() if is_form else b""):
        try:
            unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise Refused(INVALID, "the parameters are no valid text in UTF-8") from None


def _fields(request: Request) -> dict[str, Any]:
    found = _single(request.args.items(multi=True))
    posted = _posted(request) if request.method == "POST" else {}
    for name, value in posted.items():
        if name in found and found[name] != value:
            raise Refused(INVALID, f"the parameter {shown(name)} stands in the address and in the body, not alike")
    return {**found, **posted}


def _posted(request: Request) -> dict[str, Any]:
    if request.is_json:
        return _json(request)
    if request.mimetype not in _FORMS:
        if request.content_length:
            raise Refused(INVALID, f"the body is a form or JSON, not {shown(request.mimetype)}: give its Content-Type")
        return {}
    try:
        fields, files = request.form, request.files
    except RequestEntityTooLarge:
        raise Refused("REQUEST_TOO_LARGE", "the form has too many parts, or is larger than allowed") from None
    if files:
        raise Refused(INVALID, "files are not taken: send the content as text (base64) in a parameter")
    if request.content_length and not fields:
        # Werkzeug makes an empty form of one that it cannot read: its options would be lost, and the call made at once.
        raise Refused(INVALID, "the form cannot be read: it was cut off, or its Content-Type does not fit")
    return _single(fields.items(multi=True))


def _json(request: Request) -> dict[str, Any]:
    try:
        fields = loads(request.get_data(cache=False) or b"{}")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused(INVALID, "the body is no JSON object in which each name stands once")
    return fields


def _single(pairs: Iterable[tuple[str | None, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name is None:  # as Werkzeug has it of a part without one
            raise Refused(INVALID, "a part of the form has no name")
        if name in found:
            raise Refused(INVALID, f"the parameter {shown(name)} was sent twice")
        if _PHP_ARRAY.fullmatch(name) and not _means_options(name):
            whole = name.partition("[")[0]
            raise Refused(INVALID, f"{shown(name)}: send {shown(whole)} as one parameter, with JSON as its value")
        found[name] = value
    return found


def _session_name(given: Any, request: Request) -> str | None:
    header = request.headers.get(SESSION_HEADER)
    if given is not None and not isinstance(given, str):
        raise Refused("INVALID_SESSIONID", "sessionName is a text")
    if given and header and given != header:
        raise Refused("INVALID_SESSIONID", f"sessionName and the header {SESSION_HEADER} name different sessions")
    return given or header or None


def _options(fields: dict[str, Any]) -> Any:
    """Take what belongs to the options out of the fields."""
    named = [name for name in fields if _means_options(name)]
    parts = {name: _IN_BRACKETS.fullmatch(name) for name in named if name != OPTIONS}
    for name, part in parts.items():
        if part is None:
            raise Refused(BAD_OPTIONS, f"{shown(name)} is not understood: the parameter is {OPTIONS}")
    for name in ("launchfromqueue", "launchFromQueue"):
        if name in fields:
            raise Refused(BAD_OPTIONS, f"{name} is no parameter of its own: it stands in {OPTIONS}")
    if OPTIONS in fields and parts:
        raise Refused(BAD_OPTIONS, f"{OPTIONS} was sent as a whole and in parts: send one of them")
    if parts:
        return {part[1]: fields.pop(name) for name, part in parts.items() if part}
    return fields.pop(OPTIONS, None)


def _means_options(name: str) -> bool:
    return name.strip().lower().startswith(OPTIONS.lower())
