"""What the tests of the client share: an application that is served on each kind of database, and its users."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from taskqueue import QueueService
from taskqueue.operations import Client, Operations
from tests.operations.conftest import clear, metadata
from tests.operations_client import registry
from tests.ports import free_port
from tests.servers import ALL_DATABASES

_ROOT = Path(__file__).resolve().parents[2]
MakeClient = Callable[..., Client]


@pytest.fixture(params=ALL_DATABASES)
def url(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> str:
    """The URL of a database."""
    return shared_database(request.param, "operations")


@pytest.fixture
def service(url: str) -> Iterator[QueueService]:
    """A service on a database without queues and calls."""
    made = QueueService(url)
    clear(made)
    metadata.create_all(made.engine)
    yield made
    clear(made)
    made.close()


@pytest.fixture
def ops(service: QueueService) -> Operations:
    """The operations of the service."""
    return registry.make(service)


@pytest.fixture
def address(ops: Operations) -> Iterator[tuple[str, int]]:
    """Where the application is, which a thread of this process serves."""
    with served(registry.make_app(ops)) as found:
        yield found


@contextmanager
def served(app: Flask) -> Iterator[tuple[str, int]]:
    """An application on a port of its own, for as long as the context is open."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield "127.0.0.1", server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client(address: tuple[str, int]) -> Client:
    """A client of Ann."""
    return client_of(f"http://{address[0]}:{address[1]}")


def client_of(url: str, user: str = "ann") -> Client:
    """A client of a user."""
    return Client(f"{url}/ops", headers={"X-User": user})


class ServerProcess:
    """The application in a process of its own, which can be killed and started again on the same port."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, with_worker: bool) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-W", "error", "-m", registry.__name__, self._url, str(self.port)]
        self._process = subprocess.Popen(
            [*command, "yes" if with_worker else "no"], cwd=_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def process(url: str, service: QueueService) -> Iterator[ServerProcess]:
    """A process that was not started yet."""
    made = ServerProcess(url)
    yield made
    made.kill()
