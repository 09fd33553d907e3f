"""A few odd requests through a real server, which says things that no test client can say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.web_api.app import Visitor
from tests.web_api.tasks import JOURNAL
from tests.web_api.world import CHECKOUT, World, secret_of

_WAIT = 30.0


@dataclass
class Served:
    """The server, and what somebody has who owns nothing."""

    world: World
    port: int
    log: Path
    cookie: str
    token: str

    def talk(self, request: bytes) -> bytes:
        """Send bytes as they are; return all that comes back."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=_WAIT)) as connection:
            answer = b""
            # A server may hang up before it has read all of what it refuses.
            with suppress(OSError):
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    answer += piece
            return answer

    def head(self, method: str, path: str, *headers: str) -> bytes:
        """The head of a request, with the session and the token."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Cookie: {self.cookie}", f"X-CSRFToken: {self.token}"]
        return "\r\n".join([*lines, "Connection: close", *headers, "", ""]).encode("latin-1")


@pytest.fixture(scope="module")
def served(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Waitress, in a process of its own, on a copy of the database."""
    world = first_world.copy(tmp_path_factory.mktemp("served") / "world")
    port = free_port()
    log = world.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.web_api.app", str(port), world.url],
            cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), JOURNAL: str(world.journal)},
        )  # fmt: skip
    try:
        until = time.monotonic() + _WAIT
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        bob = Visitor(world.app(), "bob")
        cookie = bob.client.get_cookie("session")
        assert cookie is not None
        yield Served(world, port, log, f"session={cookie.value}", bob.token)
    finally:
        process.terminate()
        process.wait(_WAIT)
        world.close()


@pytest.fixture(autouse=True)
def _nothing_comes_of_it(served: Served) -> Iterator[None]:
    is_unchanged = served.world.watched()
    yield
    assert _answers(served.port), "the server does not answer any more"
    assert is_unchanged()
    assert served.world.executed() == []
    log = served.log.read_text(errors="replace")
    assert "Traceback" not in log
    assert secret_of("ann") not in log


def test_the_server_serves(served: Served) -> None:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=_WAIT)
    connection.request(
        "GET", f"/queue/run/{served.world.runs['bob', 'running']}/state", headers={"Cookie": served.cookie}
    )
    answer = connection.getresponse()
    assert answer.status == 200
    assert secret_of("bob").encode() in answer.read()
    assert answer.getheader("Set-Cookie") is None
    connection.close()


def test_odd_bodies_are_refused(served: Served) -> None:
    json = "Content-Type: application/json"
    for verb in ("drive", "start", "skip"):
        path = f"/queue/run/{served.world.runs['ann', 'blocked']}/{verb}"
        for request in (
            served.head("POST", path, json, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
            served.head("POST", path, json, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
            served.head("POST", path, json, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
            served.head("POST", path, json, "Transfer-Encoding: chunked", "Content-Length: 2") + b"0\r\n\r\n",
            served.head("POST", path, json, "Content-Length: -2") + b"{}",
            served.head("POST", path, json, "Content-Length: 2", "Content-Length: 3") + b"{}",
            served.head("POST", path, json, "Content-Length: 1000000") + b" " * 1_000_000,
            served.head("POST", path, json, "Content-Length: 20000") + b" " * 20_000,
            served.head("POST", path, "Content-Type: multipart/form-data", "Content-Length: 9") + b"--x\r\n\r\nab",
            served.head("POST", path),
        ):
            answer = served.talk(request)
            assert _is_refused(answer), (request[:300], answer[:300])
            assert secret_of("ann").encode() not in answer


def test_a_body_that_never_comes_holds_nobody_up(served: Served) -> None:
    path = f"/queue/run/{served.world.runs['ann', 'running']}/drive"
    request = served.head("POST", path, "Content-Type: application/json", "Content-Length: 100") + b"{"
    served.talk(request)
    assert _answers(served.port)


def test_odd_heads_are_refused(served: Served) -> None:
    path = f"/queue/run/{served.world.runs['ann', 'running']}"
    for request in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        served.head("GET", path, "X: " + "y" * 300_000),
        served.head("GET", f"{path}?{'y' * 300_000}"),
        served.head("GET", path + "/%00%ff%c0%af"),
        served.head("GET", path + "/..%2f..%2fcsrf"),
        served.head("POST", path, "X-HTTP-Method-Override: GET"),
        served.head("DELETE", path),
        served.head("CONNECT", "evil.example:80"),
        served.head("GET", f"http://evil.example{path}"),
        served.head("GET", path, "Cookie: session=" + "a.b.c" * 500),
        served.head("POST", path + "/drive", "Content-Length: 0", "X-Driver: " + "\xff" * 20),
        served.head("POST", path + "/drive HTTP/0.9\r\nX:", "Content-Length: 0"),
    ):
        answer = served.talk(request)
        assert _is_refused(answer), (request[:200], answer[:300])
        assert secret_of("ann").encode() not in answer


def test_head_has_no_body_and_options_do_nothing(served: Served) -> None:
    run_id = served.world.runs["bob", "running"]
    for view in ("", "/state", "/log", "/log?format=txt", "/tick?t=x"):
        answer = served.talk(served.head("HEAD", f"/queue/run/{run_id}{view}"))
        assert _status(answer) in (200, 303)
        # Waitress ends a text of unknown length so.
        assert answer.partition(b"\r\n\r\n")[2] in (b"", b"0\r\n\r\n")
    for view in ("", "/drive", "/start", "/abort"):
        answer = served.talk(served.head("OPTIONS", f"/queue/run/{run_id}{view}"))
        assert _status(answer) == 200
        assert b"access-control" not in answer.lower()


def _answers(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=_WAIT)
        connection.request("GET", "/ready")
        found = connection.getresponse().status == 200
        connection.close()
        return found
    except OSError:
        return False


def _is_refused(answer: bytes) -> bool:
    # 501 and 505 are the server's own word on what it does not speak; nothing at all: it has hung up.
    return 400 <= _status(answer) < 500 or _status(answer) in (501, 505) or not answer


def _status(answer: bytes) -> int:
    first = answer.partition(b"\r\n")[0].split()
    return int(first[1]) if len(first) > 1 else 0
