"""What a post says: JSON from the script, or fields from a form; checked before anything is looked up."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Request

from .answers import Refusal
from .i18n import Translations

#: More than any post of ours needs.
MAX_BYTES = 16_384
_LARGEST = 2**63 - 1
_MOST_IDS = 400
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_DRIVER = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)


@dataclass(frozen=True)
class Posted:
    """The fields of an action."""

    request_id: str
    item_id: int | None = None
    fence: int | None = None
    #: Whether the page without JavaScript asks.
    nojs: bool = False


def check_size(request: Request, translate: Translations) -> None:
    """Refuse a post that is larger than any of ours, before it is read."""
    length = request.content_length
    if (length is None and request.headers.get("Transfer-Encoding")) or (length or 0) > MAX_BYTES:
        raise Refusal(413, "too_large", translate.gettext("The request is too large."))


def read(request: Request, translate: Translations, *, with_item: bool) -> Posted:
    """The fields of an action. Raises :class:`Refusal` (400) naming the one that makes no sense."""
    fields = read_json(request, translate) if request.is_json else request.form.to_dict()
    request_id = fields.get("request_id")
    if request_id is None and not with_item:
        request_id = secrets.token_hex(16)  # of a run's state a second request finds nothing left to change
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise bad("request_id", translate)
    nojs = bool(fields.get("nojs")) and not request.is_json
    if not with_item:
        return Posted(request_id, nojs=nojs)
    item_id, fence = _number(fields.get("item_id")), _number(fields.get("fence"))
    if item_id is None or fence is None:
        raise bad("item_id" if item_id is None else "fence", translate)
    return Posted(request_id, item_id, fence, nojs)


def read_ids(request: Request, translate: Translations) -> list[str]:
    """The ids that a script names. Raises :class:`Refusal` (400)."""
    ids = read_json(request, translate).get("ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= _MOST_IDS or not all(isinstance(each, str) for each in ids):
        raise bad("ids", translate)
    return ids


def driver_of(request: Request) -> str:
    """The name of the page load that asks, or ""."""
    given = request.headers.get("X-Driver", "")
    return given if _DRIVER.fullmatch(given) else ""


def read_json(request: Request, translate: Translations) -> dict[str, Any]:
    """The object in the body. Raises :class:`Refusal` (400)."""
    try:
        fields = json.loads(request.get_data(cache=False) or b"{}")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refusal(400, "bad_request", translate.gettext("The request is no JSON object."))
    return fields


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        return None
    return value


def bad(field: str, translate: Translations) -> Refusal:
    """The refusal of a request because of one of its fields."""
    return Refusal(400, "bad_request", translate.gettext("The field %(field)s is missing or wrong.", field=field))
