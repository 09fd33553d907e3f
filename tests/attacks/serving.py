"""Programs that answer HTTP, each in a process of its own: what a raw socket can be pointed at."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from tests.attacks.app import KEYS
from tests.cli.visitor import Visitor as Browser
from tests.ports import free_port
from tests.web_api.app import Visitor, service_of
from tests.web_api.tasks import JOURNAL
from tests.web_api.world import CHECKOUT, World

#: Seconds in which a program has to answer, whatever it was asked; the machine may be busy.
WAIT = 30.0
#: How the programs are called in the tests.
PROGRAMS = ("waitress", "gunicorn", "taskqueue web", "metrics port")


@dataclass
class Served:
    """A program that answers."""

    name: str
    port: int
    #: Where something is that it answers with 200.
    ready: str
    log: Path
    process: subprocess.Popen[bytes]
    #: Addresses that are there, for requests that are wrong in something else.
    paths: list[str]
    #: Sessions and tokens of people who may not do what is asked for; "" for programs that know none.
    cookies: list[str] = field(default_factory=lambda: [""])
    token: str = ""
    #: Whether its answers carry the mark of ``tests.attacks.app``.
    is_marked: bool = False

    def talk(self, request: bytes) -> bytes:
        """Send bytes as they are; return all that comes back."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)) as connection:
            answer = b""
            # A server may hang up before it has read all of what it refuses.
            with suppress(ConnectionError):
                connection.sendall(request)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    answer += piece
            return answer

    def answers(self) -> bool:
        """Whether it is there."""
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT)) as connection:
            connection.request("GET", self.ready)
            return connection.getresponse().status == 200
        return False


@contextmanager
def serving(name: str, world: World) -> Iterator[Served]:
    """One of the :data:`PROGRAMS` on this database."""
    start: Callable[[World, int], Served] = {
        "waitress": _waitress, "gunicorn": _gunicorn, "taskqueue web": _alone, "metrics port": _metrics
    }[name]  # fmt: skip
    served = start(world, free_port())
    try:
        until = time.monotonic() + WAIT
        while not served.answers():
            said = served.log.read_text(errors="replace")
            assert served.process.poll() is None and time.monotonic() < until, said
            time.sleep(0.05)
        if name == "taskqueue web":
            served.cookies.append(_signed_in(served))
        yield served
    finally:
        served.process.terminate()
        try:
            served.process.wait(WAIT)
        finally:
            served.process.kill()


def _start(world: World, name: str, *command: str) -> tuple[Path, subprocess.Popen[bytes]]:
    log = world.folder / f"{name}.log"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TASKQUEUE_")}
    ours = {"PYTHONPATH": str(CHECKOUT), JOURNAL: str(world.journal), "TASKQUEUE_DATABASE_URL": world.url}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**inherited, **ours, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    return log, process


# --- the whole application ---


def _waitress(world: World, port: int) -> Served:
    log, process = _start(world, "waitress", "tests.attacks.app", str(port), world.url)
    return _application("waitress", world, port, log, process)


def _gunicorn(world: World, port: int) -> Served:
    log, process = _start(
        world, "gunicorn", "gunicorn", "tests.attacks.app:served()", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", "2", "--no-control-socket", "--log-level", "info",
    )  # fmt: skip
    return _application("gunicorn", world, port, log, process)


def _application(name: str, world: World, port: int, log: Path, process: subprocess.Popen[bytes]) -> Served:
    stranger, nobody = Visitor(world.usual, "bob"), Visitor(world.usual)
    cookies = [f"session={who.client.get_cookie('session').value}" for who in (stranger, nobody)]  # type: ignore[union-attr]
    runs = [f"/queue/run/{world.runs['ann', state]}" for state in ("running", "blocked", "ready")]
    views = ("", "/state", "/log", "/tick", "/drive", "/start", "/abort", "/skip")
    paths = [
        *(run + view for run in runs for view in views), "/queue/csrf", "/queue/static/taskqueue.css",
        "/queue/outbox/dead", "/queue/outbox/dead/delete", "/ops", "/ops/docs", "/ops/openapi.json", "/ops/echo",
        "/ops/echo", "/ops/document", "/ops/runs", f"/ops/runs/{'0' * 32}", f"/ops/runs/{'0' * 32}/result",
        f"/ops/runs/{'0' * 32}/retry", "/webservice", "/webservice?operation=echo",
        f"/webservice?operation=getchallenge&username={next(iter(KEYS))}", "/webservice.php", "/metrics", "/ready",
    ]  # fmt: skip
    return Served(name, port, "/ready", log, process, paths, cookies, stranger.token, is_marked=True)


# --- programs of the command line ---


def _alone(world: World, port: int) -> Served:
    log, process = _start(
        world, "web", "taskqueue", "web", "--json", "--port", str(port), "--read-only", "--allow", "tests.web_api.tasks"
    )  # fmt: skip
    run = f"/run/{world.runs['ann', 'blocked']}"
    paths = [
        "/", "/login?token=x", "/queue/annsecret-ready/run", run, f"{run}/state", f"{run}/drive", f"{run}/skip",
        "/csrf", "/static/taskqueue.css",
    ]  # fmt: skip
    return Served("taskqueue web", port, "/static/taskqueue.css", log, process, paths)


def _signed_in(served: Served) -> str:
    """The session of somebody who has come by the link."""
    link = next(json.loads(line)["url"] for line in served.log.read_text().splitlines() if line.startswith("{"))
    browser = Browser(f"http://127.0.0.1:{served.port}/")
    assert browser.get(link).status == 303
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)


def _metrics(world: World, port: int) -> Served:
    service_of(world.usual).create("Sql", "idle")
    log, process = _start(
        world, "metrics", "taskqueue", "work", "idle", "--metrics-port", str(port), "--allow", "tests.web_api.tasks"
    )  # fmt: skip
    return Served("metrics port", port, "/metrics", log, process, ["/metrics", "/", "/metrics?name[]=x"])
