"""A server that answers what a test has written down, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CALL = "0123456789abcdef" * 2
#: Instead of an answer: the connection ends.
CUT = None
FACTS: dict[str, Any] = {
    "id": CALL, "operation": "note", "state": "queued", "stopping": False, "attempts": 0, "progress": None,
    "created": "2026-01-02T03:04:05.678000Z", "due": None, "deadline": None, "finished": None, "expires": None,
    "error": None, "links": {},
}  # fmt: skip


@dataclass
class Said:
    """One answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def facts(**changed: Any) -> Said:
    """The facts of a call."""
    return Said(202 if changed.get("state", "queued") == "queued" else 200, {**FACTS, **changed})


def problem(status: int, code: str, detail: str = "a sentence", headers: dict[str, str] | None = None,
            **more: Any) -> Said:  # fmt: skip
    """A problem as the API tells it."""
    body = {"type": "about:blank", "title": "Title", "status": status, "detail": detail, "code": code, **more}
    return Said(status, body, {"Content-Type": "application/problem+json", **(headers or {})})


def offered(*names: str, idempotent: bool = True) -> Said:
    """A list of operations."""
    one = {"summary": "", "queueable": True, "idempotent": idempotent, "schema": {}, "result_schema": {}}
    return Said(200, {"operations": [{**one, "name": name, "aliases": [f"{name}Alias"]} for name in names]})


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


class ScriptedServer(ThreadingHTTPServer):
    """Gives the answers of the script, one after the other."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Said | None] = []
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        """Where the operations are."""
        return f"http://127.0.0.1:{self.server_address[1]}/ops"

    @property
    def lines(self) -> list[str]:
        """The requests, in a word each."""
        return [f"{one.method} {one.path}" for one in self.asked]

    def say(self, *script: Said | None) -> None:
        """Continue the script."""
        self.script.extend(script)


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
        said = self.server.script.pop(0) if self.server.script else Said(599, "the script has ended")
        if said is None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        if said.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if said.status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        """The test looks at the list."""


@contextmanager
def scripted() -> Iterator[ScriptedServer]:
    """Such a server, for as long as the context is open."""
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
