"""A loopback HTTP proxy between browser and application that misbehaves when told to.

It stands for gateways that lose patience, load balancers whose upstream is away and wireless networks. Every fault is a
rule for the requests whose method and path match; it holds until it is ended, or for so many requests::

    with proxy.timeout(0.8, r"/drive$"): ...
    fault = proxy.swallow(r"/retry$", times=1); ...; fault.end()
"""

from __future__ import annotations

import http.client
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self

from tests.web.toolkit.journal import DEADLINE, wait_until

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_GATEWAY_PAGE = "<!doctype html><title>{status}</title><h1>{status} {text}</h1><p>The gateway has spoken.</p>"


@dataclass
class Seen:
    """A request that came by. ``status`` is what the browser got: 0 for nothing (yet)."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    began: float
    status: int = 0
    ended: float | None = None
    #: What the application answered, also where the browser did not get it.
    upstream_status: int = 0
    answer_headers: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        waits = "" if self.ended else " (waits)"
        return f"{self.method:4} {self.path} -> {self.status} (application: {self.upstream_status}){waits}"


@dataclass
class _Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class _CutOff(Exception):
    """The connection ends without an answer."""


class Fault:
    """A rule: what happens to matching requests, until it is ended."""

    def __init__(self, proxy: FaultyProxy, act: _Act, path: str, method: str, times: int | None) -> None:
        self._proxy = proxy
        self._act = act
        self._path = re.compile(path)
        self._method = method
        self._times = times
        self._released = threading.Event()
        #: The requests that it has met.
        self.hits: list[Seen] = []

    def end(self) -> None:
        """From now on requests pass; those that are held back go on."""
        self._proxy.forget(self)
        self._released.set()

    def wait_for_hit(self, count: int = 1) -> Seen:
        """Wait until it has met so many requests; return the latest."""
        wait_until(lambda: len(self.hits) >= count, f"{count} requests met the fault", explain=self._proxy.tail)
        return self.hits[count - 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def takes(self, seen: Seen) -> bool:
        """Whether this request is for the fault; counts it."""
        if self._method not in ("", seen.method) or not self._path.search(seen.path):
            return False
        if self._times is not None and len(self.hits) >= self._times:
            return False
        self.hits.append(seen)
        return True

    def apply(self, seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
        """Let the request have it."""
        return self._act(self._released, seen, forward)


_Act = Callable[[threading.Event, Seen, Callable[[], _Answer]], _Answer]


class FaultyProxy:
    """Passes everything on, but for the faults that are asked for."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        #: Every request that came by, oldest first.
        self.requests: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._is_offline = False
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all faults and stop listening."""
        self.heal()
        self._server.shutdown()
        self._server.server_close()
        self._cut_connections()

    @property
    def url(self) -> str:
        """Where the browser goes; without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # --- faults ---

    def timeout(self, seconds: float, path: str = "", *, method: str = "", times: int | None = None) -> Fault:
        """Answer 504 when the application takes longer than that; it goes on all the same."""

        def act(_released: threading.Event, _seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
            answers: list[_Answer] = []
            thread = threading.Thread(target=lambda: answers.append(forward()), daemon=True)
            thread.start()
            thread.join(seconds)
            return answers[0] if answers else _gateway(504)

        return self._add(act, path, method, times)

    def bad_gateway(self, path: str = "", *, method: str = "", status: int = 502, times: int | None = None) -> Fault:
        """Answer 502 (or another status) as a gateway does; the application never hears of the request."""
        return self._add(lambda _released, _seen, _forward: _gateway(status), path, method, times)

    def swallow(self, path: str = "", *, method: str = "POST", times: int | None = 1) -> Fault:
        """Let the application do it, and lose its answer: the connection ends."""

        def act(_released: threading.Event, _seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
            forward()
            raise _CutOff

        return self._add(act, path, method, times)

    def cut(self, path: str = "", *, method: str = "", times: int | None = None) -> Fault:
        """End the connection; the application never hears of the request."""

        def act(_released: threading.Event, _seen: Seen, _forward: Callable[[], _Answer]) -> _Answer:
            raise _CutOff

        return self._add(act, path, method, times)

    def delay(self, seconds: float, path: str = "", *, method: str = "", times: int | None = None) -> Fault:
        """Pass the request on only after that time."""

        def act(released: threading.Event, _seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
            released.wait(seconds)
            return forward()

        return self._add(act, path, method, times)

    def hold(self, path: str = "", *, method: str = "", times: int | None = None) -> Fault:
        """Hold requests back until the fault is ended, then pass them on."""

        def act(released: threading.Event, _seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
            released.wait(2 * DEADLINE)
            return forward()

        return self._add(act, path, method, times)

    def hold_answer(self, path: str = "", *, method: str = "", times: int | None = None) -> Fault:
        """Let the application do it at once, and hold its answer back until the fault is ended."""

        def act(released: threading.Event, _seen: Seen, forward: Callable[[], _Answer]) -> _Answer:
            answer = forward()
            released.wait(2 * DEADLINE)
            return answer

        return self._add(act, path, method, times)

    def offline(self) -> Fault:
        """End all connections, also those that wait for an answer, and every new one."""
        fault = self.cut()
        self._cut_connections()
        return fault

    def heal(self) -> None:
        """End all faults."""
        for fault in [*self._faults]:
            fault.end()

    # --- what came by ---

    def seen(self, path: str = "", *, method: str = "", since: float = 0.0) -> list[Seen]:
        """The requests whose path matches, oldest first; ``since`` is a ``time.monotonic()``."""
        with self._lock:
            requests = [*self.requests]
        return [
            seen
            for seen in requests
            if re.search(path, seen.path) and method in ("", seen.method) and seen.began >= since
        ]

    def drives(self, since: float = 0.0) -> list[Seen]:
        """The POSTs that asked the application to work."""
        return self.seen(r"/drive$", method="POST", since=since)

    def tail(self) -> str:
        """The latest requests, for a failure message."""
        began = self.requests[0].began if self.requests else 0.0
        lines: list[str] = []
        for what, group in itertools.groupby(self.requests, key=lambda seen: str(seen)):
            alike = [*group]
            lines.append(f"{alike[0].began - began:7.2f} s  {len(alike):2} x {what}")
        return "\n".join(lines[-40:]) or "(no request came by)"

    # --- how it is done ---

    def _add(self, act: _Act, path: str, method: str, times: int | None) -> Fault:
        fault = Fault(self, act, path, method, times)
        with self._lock:
            self._faults.insert(0, fault)
        return fault

    def forget(self, fault: Fault) -> None:
        """Let a fault meet no further request."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def handle(self, seen: Seen) -> _Answer:
        """Answer a request, as the latest fault that takes it wants."""
        with self._lock:
            self.requests.append(seen)
            fault = next((fault for fault in self._faults if fault.takes(seen)), None)
        forward = lambda: self._forward(seen)  # noqa: E731
        return fault.apply(seen, forward) if fault is not None else forward()

    def _forward(self, seen: Seen) -> _Answer:
        connection = http.client.HTTPConnection(*self.upstream, timeout=4 * DEADLINE)
        try:
            target = seen.path + (f"?{seen.query}" if seen.query else "")
            connection.putrequest(seen.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in seen.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            if seen.body or seen.method == "POST":
                connection.putheader("Content-Length", str(len(seen.body)))
            connection.putheader("Connection", "close")
            connection.endheaders(seen.body)
            response = connection.getresponse()
            headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
            seen.upstream_status, seen.answer_headers = response.status, headers
            return _Answer(response.status, response.reason, headers, response.read())
        except (OSError, http.client.HTTPException):  # the application is away, or died while it worked
            return _gateway(502)
        finally:
            connection.close()

    def watch(self, connection: socket.socket, is_open: bool) -> None:
        """Know the browser's connections."""
        with self._lock:
            (self._connections.add if is_open else self._connections.discard)(connection)

    def _cut_connections(self) -> None:
        with self._lock:
            connections = [*self._connections]
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _gateway(status: int) -> _Answer:
    text = http.client.responses[status]
    body = _GATEWAY_PAGE.format(status=status, text=text).encode()
    return _Answer(status, text, [("Content-Type", "text/html; charset=utf-8")], body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A thread that waits for the application must not hold up the end of a test.
    block_on_close = False
    request_queue_size = 100

    def __init__(self, address: tuple[str, int], proxy: FaultyProxy) -> None:
        super().__init__(address, _Handler)
        self.proxy = proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in mid-request is nothing to talk about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # What a browser opens ahead of need and never uses ends some time.
    timeout = 4 * DEADLINE

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.proxy.watch(self.connection, True)

    def finish(self) -> None:
        self.server.proxy.watch(self.connection, False)
        super().finish()

    def _pass_on(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, path, query, dict(self.headers.items()), body, time.monotonic())
        try:
            answer = self.server.proxy.handle(seen)
            seen.status = answer.status
            self._answer(answer)
        except _CutOff:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        finally:
            seen.ended = time.monotonic()

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _pass_on

    def _answer(self, answer: _Answer) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        # On a connection that was in use before, Chromium sends a request whose answer is lost again by itself: whether
        # the page does must not depend on that.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """The proxy keeps a list instead."""
