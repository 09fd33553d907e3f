"""Somebody with a browser that has no scripts: keeps cookies, follows nothing by itself."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, ProxyHandler, Request, build_opener


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    text: str

    @property
    def json(self) -> Any:
        """Its body, read as JSON."""
        return json.loads(self.text)

    @property
    def location(self) -> str | None:
        """Where it leads."""
        return self.headers["Location"]

    def field(self, name: str) -> str:
        """The value of a hidden field."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found, self.text
        return found[1]


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Visitor:
    """One browser, at home at ``base``."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies), _NoRedirect())

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Any request; ``Sec_Purpose`` is the header Sec-Purpose."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(urljoin(self.base, path), body, named, method=method)  # noqa: S310 (of the test's own)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.ask("GET", path, **headers)

    def submit(self, path: str, **fields: Any) -> Answer:
        """Press the button of a form."""
        return self.ask("POST", path, urlencode(fields).encode())

    def page(self, path: str) -> Page:
        """The progress page at ``path``."""
        answer = self.get(path)
        assert answer.status == 200, answer.text
        found = re.search(r'id="taskqueue-page">(.*?)</script>', answer.text, re.DOTALL)
        assert found, answer.text
        return Page(self, json.loads(found[1]))


@dataclass
class Page:
    """A progress page, as its script sees it."""

    visitor: Visitor
    data: Any

    def post(self, url: str, **fields: Any) -> Answer:
        """As the script does."""
        body = json.dumps({"request_id": secrets.token_hex(16), **fields}).encode()
        return self.visitor.ask(
            "POST", url, body, X_CSRFToken=self.data["csrf"], X_Driver="a" * 16, Accept="application/json",
            Content_Type="application/json",
        )  # fmt: skip

    def act(self, verb: str) -> Answer:
        """Press the button."""
        return self.post(self.data["urls"]["actions"][verb])

    def drive(self) -> Answer:
        """One slice."""
        return self.post(self.data["urls"]["drive"])

    def state(self) -> Any:
        """The snapshot."""
        return self.visitor.get(self.data["urls"]["state"], Accept="application/json").json
