"""How calls and results are answered."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any
from urllib.parse import quote

from flask import Response, request, url_for

from ..operations import Call, File, User
from ..operations.results import BINARY
from ..operations.users import owner_shown
from .operations_problem import Problem

JSON = "application/json"
#: What a document of others may do in a browser that shows it all the same: nothing.
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf'{_WORD}/{_WORD}(?: ?; ?{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*', re.ASCII)
_LONGEST_NAME = 150


def as_json(value: Any, status: int = 200) -> Response:
    """Any JSON. Raises ``ValueError`` on what is none."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # half of a character, which an escape can say
        body = json.dumps(value).encode()
    return Response(body, status, content_type=JSON)


def as_result(value: Any) -> Response:
    """What an operation has returned."""
    return _as_file(value) if isinstance(value, File) else as_json(value)


def as_facts(call: Call, user: User, status: int = 200) -> Response:
    """A call as it stands, for whoever asks."""
    return as_json(facts_of(call, user), status)


def facts_of(call: Call, user: User) -> dict[str, Any]:
    """A call as it stands, and where to go on; administrators, who see those of all, are told whose it is."""
    owner = {"owner": owner_shown(call.owner)} if user.is_admin else {}
    links = {"self": url_of("run", call_id=call.id), "result": url_of("result", call_id=call.id)}
    return {**call.facts(), **owner, "links": links}


def url_of(endpoint: str, **values: Any) -> str:
    """The address of one of our views."""
    return url_for(f"{request.blueprint}.{endpoint}", **values)


def check_accepted(media_type: str = JSON) -> None:
    """Refuse (406) to answer whoever does not take that."""
    accepted = request.accept_mimetypes
    if accepted and not accepted.quality(media_type):
        raise Problem(406, "not_acceptable", f"here is nothing but {media_type}: see the header Accept")


# --- files ---


def _as_file(file: File) -> Response:
    # An operation may have got the name and the type from anybody.
    media_type = file.media_type if _MEDIA_TYPE.fullmatch(file.media_type) else BINARY
    response = Response(file.content, content_type=media_type)
    response.headers["Content-Disposition"] = disposition(file.name)
    response.headers["Content-Security-Policy"] = _SANDBOX
    return response


def disposition(name: str | None) -> str:
    """The header with which a browser saves a file, under that name as far as it is one (RFC 6266)."""
    safe = _safe_name(name or "")
    if not safe:
        return "attachment"
    plain = unicodedata.normalize("NFKD", safe).encode("ascii", "ignore").decode()
    plain = re.sub(r'["\\%]', "_", plain).strip() or "download"
    if plain == safe:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


def _safe_name(name: str) -> str:
    """The last part of a path, without what cannot be seen, or turns the text round."""
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(sign for sign in last if sign.isprintable() and unicodedata.category(sign) not in ("Cf", "Cs"))
    return seen.strip(" .")[-_LONGEST_NAME:]
