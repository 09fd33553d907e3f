"""Who asks: the user that the application knows, else the browser."""

from __future__ import annotations

import hashlib
import importlib
import secrets
from collections.abc import Callable

from flask import current_app, session

from ..errors import ConfigurationError

#: Says who is signed in; None: nobody.
IdentityHook = Callable[[], "str | None"]

#: Users and browsers have names that can never be equal, whatever name a user chooses.
USER, BROWSER = "user:", "session:"
#: An id that is too long for the database, or that it might refuse, is kept as its hash; this is no user's prefix.
_HASHED, _LONGEST = "user-hash:", 150
#: Where the session keeps the random id of the browser.
SESSION_KEY = "_taskqueue_id"


def visitor(identity_hook: IdentityHook | None) -> str | None:
    """Who asks: ``user:<id>``, ``session:<random>``, or None when neither is known.

    Only reads the session.
    """
    if (user := signed_in(identity_hook)) is not None:
        return user
    known = session.get(SESSION_KEY)
    return BROWSER + known if isinstance(known, str) and known else None


def visitor_or_new(identity_hook: IdentityHook | None) -> str:
    """As :func:`visitor`; a browser that is not known yet gets its id, which its session remembers.

    Raises :class:`ConfigurationError` when the application has no ``secret_key``.
    """
    check_secret_key()
    known = visitor(identity_hook)
    if known is None:
        session[SESSION_KEY] = secrets.token_hex(16)
        known = BROWSER + session[SESSION_KEY]
    return known


def signed_in(identity_hook: IdentityHook | None) -> str | None:
    """The user who is signed in, as ``user:<id>``.

    A hook decides alone: where it says None nobody is signed in, whatever Flask-Login says. Two sources side by side
    could give one id to two people.
    """
    found = identity_hook() if identity_hook is not None else flask_login_id()
    if found is None:
        return None
    # An empty id would make one user of all who lack one, and True one of all who have one.
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        raise ConfigurationError(
            f"the identity hook must return the id of the user as text, or None, not {type(found).__name__}"
            + (" (empty)" if found == "" else "")
        )
    text = str(found)
    if len(text) > _LONGEST or not text.isprintable():
        return _HASHED + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return USER + text


def check_secret_key() -> None:
    """Raise :class:`ConfigurationError` when the application cannot sign its sessions."""
    if not current_app.secret_key:
        raise ConfigurationError(
            "the application has no secret key, so nobody could be told from anybody else: "
            "set app.secret_key to a long random text, the same in all its processes"
        )


def flask_login_id() -> str | int | None:
    """Who is signed in with Flask-Login, if the application has it."""
    if getattr(current_app, "login_manager", None) is None:
        return None
    try:
        user = importlib.import_module("flask_login").current_user
    except ImportError:  # something else calls itself login_manager
        return None
    if not user or not getattr(user, "is_authenticated", False):
        return None
    found: str | int | None = user.get_id()
    return found if found != "" else None
