"""Tickets for the page without JavaScript: a link that drives, good for one use by one visitor."""

from __future__ import annotations

import secrets

from flask import current_app
from itsdangerous import BadData, URLSafeTimedSerializer

from .identity import check_secret_key

_SALT = "taskqueue.web.ticket"
_LIFETIME = 3600


def issue(run_id: str, visitor: str) -> str:
    """A ticket for one more slice of the run."""
    return str(_serializer().dumps([run_id, visitor, secrets.token_hex(12)]))


def number_of(ticket: str, run_id: str, visitor: str) -> str | None:
    """The number of a ticket if it is good for this run and visitor, else None; the caller strikes the number off."""
    try:
        owner_run, owner, number = _serializer().loads(ticket, max_age=_LIFETIME)
    except (BadData, ValueError, TypeError):
        return None
    return str(number) if (owner_run, owner) == (run_id, visitor) else None


def _serializer() -> URLSafeTimedSerializer:
    check_secret_key()
    key: str | bytes = current_app.secret_key or ""
    return URLSafeTimedSerializer(key, salt=_SALT)
