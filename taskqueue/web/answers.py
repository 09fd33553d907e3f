"""What answers have in common: refusals, answers that set no cookie, and the headers that protect them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from flask import Request, Response, has_request_context, request

#: Everything from our own host, nothing inline. ``data:`` serves small pictures in the stylesheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
#: For pages in a frame of the host's own, whose scripts, fonts and pictures may come from anywhere.
POLICY_IN_FOREIGN_FRAME = "object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
_PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


class Refusal(Exception):
    """Ends a request with an error answer.

    Arguments:
        status: of HTTP.
        code: one word for programs, such as "moved_on".
        message: one sentence for humans, already translated.
        snapshot: the new truth, where the page can go on from it.
        login_url: where the user can sign in (again).
        retry_after: seconds after which another try makes sense.
        allow: the methods that the address knows, for status 405.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        snapshot: dict[str, Any] | None = None,
        login_url: str | None = None,
        retry_after: int | None = None,
        allow: Iterable[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.snapshot = snapshot
        self.login_url = login_url
        self.retry_after = retry_after
        self.allow = sorted(allow) if allow is not None else None

    def as_json(self) -> dict[str, Any]:
        """The body of the answer to a script."""
        error = {"code": self.code, "message": self.message}
        if self.login_url:
            error["login_url"] = self.login_url
        body: dict[str, Any] = {"error": error}
        if self.snapshot is not None:
            body["snapshot"] = self.snapshot
        return body

    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(0, int(self.retry_after)))
        if self.allow is not None:
            headers["Allow"] = ", ".join(self.allow)
        return headers


class QuietResponse(Response):
    """An answer that sets no cookie, whatever Flask or an extension asks of it.

    With a permanent session Flask sends the session's cookie again with every answer. The answer to a drive request
    may come seconds later than that of a logout in another tab, and would sign the user in again. So all that scripts
    ask for in the background (state, drive, actions) is answered by this class; pages, which users open, are not.
    :func:`quiet` makes any answer one of these.

    Flask itself adds ``Vary: Cookie`` where the session was read, whether or not the cookie is then set.
    """

    def set_cookie(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def delete_cookie(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


def quiet(response: Response) -> Response:
    """The same answer, which sets no cookie any more."""
    return cast(Response, QuietResponse.force_type(response))


def wants_json(request: Request) -> bool:
    """Whether a script asks, rather than a browser that shows the answer to a human."""
    if request.is_json:
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"


def protect(response: Response, *, own_look: bool = True) -> Response:
    """Add the headers that protect what we answer; for ``after_request`` of the blueprint.

    Arguments:
        own_look: False: the page stands in a frame of the host's, whose files may come from anywhere.

    A header that the host wants otherwise stays as it set it, but nothing except static files may be stored.
    """
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # Never "no-referrer": without a referrer Flask-WTF refuses posts over https, and browsers send "Origin: null".
    headers.setdefault("Referrer-Policy", "same-origin")
    if _is_static():
        return response
    headers["Cache-Control"] = "no-store"
    response.vary.add("Cookie")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", _PERMISSIONS)
    if "Content-Security-Policy" not in headers:
        headers["Content-Security-Policy"] = POLICY if own_look else POLICY_IN_FOREIGN_FRAME
    return response


def _is_static() -> bool:
    return has_request_context() and (request.endpoint or "").rpartition(".")[2] == "static"
