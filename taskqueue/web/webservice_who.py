"""In whose name a request to the door of coreBOS comes, and whether a page of another site has sent it."""

from __future__ import annotations

import logging

from flask import Request

from ..operations import User
from ..spec import shown
from . import csrf
from .operations_user import UserHook, signed_in
from .webservice_envelope import Refused
from .webservice_request import Asked
from .webservice_session import Sessions

#: What browsers add by themselves, whatever page sends the request.
_BY_ITSELF = ("basic", "digest", "negotiate", "ntlm")
_log = logging.getLogger(__name__)


class Who:
    """Finds who asks.

    Arguments:
        identity: the hook; None: Flask-Login is asked, if it is there.
        sessions: None: session names are not looked at.
    """

    def __init__(self, identity: UserHook | None, sessions: Sessions | None) -> None:
        self._identity = identity
        self._sessions = sessions

    def asks(self, request: Request, asked: Asked, *, only_reads: bool) -> User | str | int:
        """Who asks. Raises :class:`Refused` when nobody is known, or another site may have sent the request."""
        user = signed_in(self._identity)
        if self._sessions is not None and asked.session_name is not None:
            named = self._sessions.user_of(asked.session_name)
            if user is not None and owner_of(user) != owner_of(named):
                raise Refused("ACCESS_DENIED", "the session name belongs to another user than the one who is signed in")
            return named if user is None else user
        if user is None:
            raise Refused("AUTHENTICATION_REQUIRED", "sign in first: the request names no user")
        _check_origin(request, only_reads)
        return user


def owner_of(user: User | str | int) -> str:
    """As whose a call is stored."""
    return user.owner if isinstance(user, User) else User(user).owner


def _check_origin(request: Request, only_reads: bool) -> None:
    """Refuse what a page of another site may have sent with what its visitor's browser adds by itself."""
    reason = csrf.foreign(request)
    if reason is None and request.method == "GET" and not only_reads and _says_nothing(request):
        reason = "a GET request with cookies, or a login of the browser, of which nothing says where it comes from"
    if reason is not None:
        _log.warning("refused %s %s: %s", request.method, shown(request.path), reason)
        raise Refused("ACCESS_DENIED", "the request may come from another site: POST it from here, or log in first")


def _says_nothing(request: Request) -> bool:
    if request.headers.get("Sec-Fetch-Site") is not None:
        return False
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    return "Cookie" in request.headers or scheme in _BY_ITSELF
