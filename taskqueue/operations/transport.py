"""HTTP for :class:`Client`: one request, sent again as long as that can do no harm."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..errors import SpecError
from ..spec import shown
from .problems import OperationError

#: Headers that go along with each request, or what gives them (an access token that is renewed, say).
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
#: Answers that come from a gateway or a server that is being started: what became of the request is not known.
_AWAY = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0


class NoAnswer(OperationError):
    """The server could not be reached, or its answer did not come.

    Arguments:
        is_unsent: the server has certainly not heard of the request.
        key: the idempotency key that went along: with it the same request can safely be made again.
    """

    usual_code = "no_answer"
    status = 503

    def __init__(
        self, message: str, *, is_unsent: bool = False, key: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent
        self.key = key
        self.retry_after = retry_after


class Opener(Protocol):
    """What sends requests: a :class:`urllib.request.OpenerDirector`."""

    def open(self, fullurl: Request, data: None = None, timeout: float | None = None) -> Any:
        """Send a request."""


@dataclass(frozen=True)
class Ask:
    """One request, as the client means it."""

    method: str
    #: Behind the address of the operations.
    path: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Sent twice it does the same as once.
    is_repeatable: bool = False
    #: So many seconds the server itself takes its time.
    extra: float = 0.0

    @property
    def is_look(self) -> bool:
        """Whether it asks for nothing to be done."""
        return self.method == "GET" and self.is_repeatable


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def media_type(self) -> str:
        """As "application/json"; "" when it does not say."""
        return self.headers.get_content_type() if "Content-Type" in self.headers else ""

    @property
    def retry_after(self) -> float | None:
        """Seconds, of a number or a date; None when it does not say."""
        text = str(self.headers.get("Retry-After", "")).strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        return max((moment - datetime.now(timezone.utc)).total_seconds(), 0.0)


class Transport:
    """Sends requests below one address.

    Arguments:
        url: that address.
        headers: see :data:`Headers`.
        timeout: seconds without a sign of the server after which an answer counts as lost.
        opener: what sends; None: one that follows no redirects, so that headers reach no other server.

    Raises :class:`SpecError`.
    """

    def __init__(self, url: str, headers: Headers | None, timeout: float, opener: Opener | None) -> None:
        self.url = _checked(url)
        self.timeout = timeout
        self._headers = headers or {}
        self._opener: Opener = opener or build_opener(_NoRedirects)
        # Replaced by tests, which do not wait.
        self.sleep: Callable[[float], None] = time.sleep
        self.now: Callable[[], float] = time.monotonic

    def ask(self, ask: Ask, patience: float) -> Answer:
        """Send a request; again, within ``patience`` seconds, where that does nothing twice.

        The answer may say that something is wrong. Raises :class:`NoAnswer`.
        """
        until, tries = self.now() + patience, 0
        while True:
            tries += 1
            outcome = self._tried(ask)
            pause = self.pause(tries, outcome.retry_after)
            if not _is_passing(ask, outcome, tries) or self.now() + pause > until:
                if isinstance(outcome, NoAnswer):
                    raise outcome
                return outcome
            self.sleep(pause)

    @staticmethod
    def pause(tries: int, wanted: float | None) -> float:
        """Seconds until the next try: what the server wishes, else longer each time, and never all at once."""
        if wanted is not None:
            return max(wanted, _FIRST_PAUSE)
        return min(_FIRST_PAUSE * 2.0 ** min(tries - 1, 10), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311

    def _tried(self, ask: Ask) -> Answer | NoAnswer:
        try:
            answer = self._once(ask)
        except NoAnswer as error:
            return error
        if answer.status not in _AWAY:
            return answer
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        return NoAnswer(f"{self.url} is away: it answered {status}", retry_after=answer.retry_after)

    def _once(self, ask: Ask) -> Answer:
        given = self._headers() if callable(self._headers) else self._headers
        headers = {"Accept": "application/json, application/problem+json, */*;q=0.5", **given, **ask.headers}
        query = f"?{urlencode(ask.query)}" if ask.query else ""
        request = Request(f"{self.url}{ask.path}{query}", ask.body, headers, method=ask.method)  # noqa: S310  (checked)
        try:
            with self._opener.open(request, timeout=self.timeout + ask.extra) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            return self._refused(error)
        except (OSError, HTTPException) as error:
            raise self._lost(error) from error

    def _refused(self, error: HTTPError) -> Answer:
        try:
            with error:
                return Answer(error.code, error.headers, error.read())
        except (OSError, HTTPException) as lost:
            raise self._lost(lost) from lost

    def _lost(self, error: BaseException) -> NoAnswer:
        reason = getattr(error, "reason", error)  # urllib puts its own error around what came from the network
        is_unsent = isinstance(reason, (ConnectionRefusedError, socket.gaierror))
        what = "cannot be reached" if is_unsent else "gave no answer"
        return NoAnswer(f"{self.url} {what}: {reason or type(reason).__name__}", is_unsent=is_unsent)


def _is_passing(ask: Ask, outcome: Answer | NoAnswer, tries: int) -> bool:
    """Whether the same request may be answered otherwise in a moment, and may be made again."""
    if isinstance(outcome, NoAnswer):
        return ask.is_repeatable or outcome.is_unsent
    if outcome.status == HTTPStatus.TOO_MANY_REQUESTS:
        return ask.is_look
    # Our own first request, whose answer was lost, is still being executed.
    is_busy = outcome.status == HTTPStatus.CONFLICT and outcome.retry_after is not None
    return is_busy and tries > 1 and ask.method == "POST" and ask.is_repeatable


def _checked(url: object) -> str:
    text = url if isinstance(url, str) else ""
    if "@" in text.partition("//")[2].partition("/")[0]:
        raise SpecError("the address of the operations carries a password: give credentials as headers= or opener=")
    try:
        parts = urlsplit(text)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    if not is_fit or "?" in text or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise SpecError(f"the address of the operations is one such as 'https://host/ops', not {shown(url)}")
    return text.rstrip("/")


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Another server must not get the headers of this one, and nothing is done twice."""
