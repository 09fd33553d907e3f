"""Posts come from our own pages, opened in the very same session, or they are refused.

Two independent checks: a signed token that only this session can have, and what the browser itself says about the
page that posts.

Where the application uses Flask-WTF's ``CSRFProtect``, the token is Flask-WTF's. Its own check runs before our views
do, whether it was initialised before or after us: it finds our token in the header ``X-CSRFToken`` of our JSON posts,
and in the field named by ``WTF_CSRF_FIELD_NAME`` (:func:`field_name`) of our forms. What it refuses arrives as a
``CSRFError`` of status 400; :func:`refusal_by_host` makes a refusal of ours of it, so that a page whose token has
expired (after an hour) can fetch a new one and try again.
"""

from __future__ import annotations

import hmac
import importlib
import logging
import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, current_app, session
from itsdangerous import BadData, URLSafeTimedSerializer

from ..spec import shown
from .answers import Refusal
from .identity import check_secret_key

#: Where the session keeps the random text that its tokens are bound to.
SESSION_KEY = "_taskqueue_csrf"
HEADERS = ("X-CSRFToken", "X-CSRF-Token")
#: A page without scripts may stand open for a working day before somebody presses a button.
LIFETIME = 86_400
#: What is told whoever's post is refused; views may give it in another language.
EXPIRED = "This page has expired. Load it again and repeat what you did."

_SALT = "taskqueue.web.csrf"
_log = logging.getLogger(__name__)


def token() -> str:
    """A fresh token for this session; the first one writes a random text into the session.

    Raises :class:`ConfigurationError` when the application has no ``secret_key``.
    """
    check_secret_key()
    if _has_flask_wtf():
        return str(_flask_wtf().generate_csrf())
    nonce = session.get(SESSION_KEY)
    if not isinstance(nonce, str) or not nonce:
        nonce = session[SESSION_KEY] = secrets.token_hex(16)
    text: str | bytes = _serializer().dumps(nonce)
    return text if isinstance(text, str) else text.decode()


def field_name() -> str:
    """The name of the hidden field that carries the token in a form."""
    return str(current_app.config["WTF_CSRF_FIELD_NAME"]) if _has_flask_wtf() else "csrf_token"


def check(request: Request, sentence: str = EXPIRED) -> None:
    """Refuse (403, code "csrf") a post that did not come from a page of ours in this session, with this sentence.

    Flask-WTF's ``WTF_CSRF_ENABLED = False`` does not switch this off.
    """
    reason = foreign(request) or _wrong_token(request)
    if reason:
        _log.warning("refused %s %s: %s", request.method, shown(request.path), reason)
        raise Refusal(403, "csrf", sentence)


def refusal_by_host(error: BaseException, sentence: str = EXPIRED) -> Refusal | None:
    """Our refusal instead of the error that Flask-WTF's ``CSRFProtect`` raised in front of our view, else None."""
    if _has_flask_wtf() and isinstance(error, _flask_wtf().CSRFError):
        return Refusal(403, "csrf", sentence)
    return None


# --- what the browser says -----------------------------------------------------------------------


def foreign(request: Request) -> str | None:
    """Why the browser says that another site posts, or None.

    ``Sec-Fetch-Site`` is sent by all browsers, but only to https and to this very machine; ``Origin`` by all to
    everybody. Programs send neither, and need the token alone.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return f"Sec-Fetch-Site is {site!r}"
    origin = request.headers.get("Origin")
    if origin is None or (origin != "null" and site is not None):
        return None
    # "null" is a page in a sandbox, a file, or one that hides where it comes from.
    if not _is_own(origin, request):
        return (
            f"Origin is {origin!r}, but the request came to {request.scheme}://{request.host} "
            "(a proxy in front of the application needs werkzeug's ProxyFix)"
        )
    return None


def _is_own(origin: str, request: Request) -> bool:
    try:
        given = urlsplit(origin)
        host, port = given.hostname, given.port
        own = urlsplit(f"{request.scheme}://{request.host}")
        own_host, own_port = own.hostname, own.port
    except ValueError:
        return False
    if given.scheme not in ("http", "https") or not host or host != own_host:
        return False
    # What came over https did not come from a page over http. The other way round a proxy may have unpacked it.
    if own.scheme == "https" and given.scheme != "https":
        return False
    default = 443 if given.scheme == "https" else 80
    return (port or default) == (own_port or default)


# --- the token -----------------------------------------------------------------------------------


def _wrong_token(request: Request) -> str | None:
    """Why the token of the request is none of this session's, or None."""
    given = _given(request)
    if not given:
        return "the token is missing"
    if not current_app.secret_key:
        return "the application has no secret key"
    if _has_flask_wtf():
        return _refused_by_flask_wtf(given)
    nonce = session.get(SESSION_KEY)
    if not isinstance(nonce, str) or not nonce:
        return "the session has no token"
    try:
        signed = _serializer().loads(given, max_age=LIFETIME)
    except BadData as error:
        return f"the token is not valid ({type(error).__name__})"
    if not isinstance(signed, str) or not hmac.compare_digest(signed.encode(), nonce.encode()):
        return "the token belongs to another session"
    return None


def _given(request: Request) -> str | None:
    for name in HEADERS:
        if value := request.headers.get(name):
            return value
    return request.form.get(field_name())


def _serializer() -> URLSafeTimedSerializer:
    # The newest key comes last; Flask names older ones that are still good.
    keys: list[Any] = [*(current_app.config.get("SECRET_KEY_FALLBACKS") or ()), current_app.secret_key]
    return URLSafeTimedSerializer(keys, salt=_SALT)


def _has_flask_wtf() -> bool:
    return "csrf" in current_app.extensions and "WTF_CSRF_FIELD_NAME" in current_app.config


def _flask_wtf() -> Any:
    return importlib.import_module("flask_wtf.csrf")


def _refused_by_flask_wtf(given: str) -> str | None:
    try:
        _flask_wtf().validate_csrf(given)
    except ValueError as error:  # wtforms' ValidationError is one
        return str(error)
    return None


def exempt(app: Flask, blueprint: Blueprint) -> None:
    """Tell Flask-WTF, if it is there, that we look ourselves at where a request comes from: programs have no token."""
    protection = app.extensions.get("csrf")
    if protection is not None and hasattr(protection, "exempt"):
        protection.exempt(blueprint)
