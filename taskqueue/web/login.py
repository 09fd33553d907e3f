"""Signing in by a link that is good for one use, as notebooks do: whoever can read the terminal may use the pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

from flask import Request, session

from .identity import visitor_or_new

#: What the session of somebody who has come by such a link holds. It is signed with a key of this very start.
_SESSION_KEY = "_taskqueue_signed_in"


class LoginLinks:
    """The link that is valid at the moment: there is one at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digest: bytes | None = None

    def new(self) -> str:
        """The token of a new link; the one before is good for nothing any more."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._digest = _digest(token)
        return token

    def spend(self, token: str) -> bool:
        """Whether ``token`` is that of the valid link, which it is no more then."""
        given = _digest(token)
        with self._lock:
            is_valid = self._digest is not None and hmac.compare_digest(self._digest, given)
            if is_valid:
                self._digest = None
        return is_valid


def sign_in() -> None:
    """Remember in the session that whoever asks may use the pages."""
    session.clear()
    session[_SESSION_KEY] = True
    visitor_or_new(None)  # a name of its own, to which links for the page without scripts are made out


def is_signed_in() -> bool:
    """Whether whoever asks has come by a link."""
    return session.get(_SESSION_KEY) is True


def is_opened_by_human(request: Request) -> bool:
    """Whether a link was opened, rather than looked at beforehand by a browser or a program that shows previews."""
    purpose = f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}".lower()
    return request.method == "GET" and "prefetch" not in purpose and "preview" not in purpose


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
