"""A loopback TCP proxy between a client and its database server that misbehaves when told to.

It stands for what lies between two machines: lines that are cut, slow ones, those that take everything and never
answer, and the worst of them, one that breaks between a COMMIT and its answer::

    with DatabaseProxy("mariadb", server.port) as proxy:
        service = QueueService(proxy.through(server.url("shop")))
        with proxy.swallow() as lost: ...      # the answer to the next statement that makes something durable
        with proxy.black_hole(): ...           # nothing gets through, and nothing is cut
        proxy.delay = 0.2                      # seconds, for each answer
        proxy.cut()                            # all connections

``tests/web/toolkit/proxy.py`` does the like for HTTP, where a fault is for a request.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url
from typing_extensions import Self

from tests.faults.wire import WIRES, Wire
from tests.statements import Conversation

_CHUNK = 65_536


@dataclass
class Swallow:
    """Answers that get lost: to statements that make something durable, or to those that begin with a text."""

    times: int
    word: str = ""
    #: The statements whose answers got lost.
    hits: list[str] = field(default_factory=list)
    #: Called when the server has done it, before the client learns of anything.
    then: Callable[[], object] = lambda: None

    def takes(self, sql: str, commits: bool) -> bool:
        """Whether the answer to this statement is to get lost."""
        wanted = sql.startswith(self.word) if self.word else commits
        if not wanted or len(self.hits) >= self.times:
            return False
        self.hits.append(sql)
        return True


class DatabaseProxy:
    """Passes everything on, but for the faults that are asked for.

    Arguments:
        kind: "mariadb" or "postgresql": what is spoken.
        port: of the server, on the loopback.
    """

    def __init__(self, kind: str, port: int) -> None:
        self._kind = kind
        self._target = ("127.0.0.1", port)
        #: Seconds by which each answer is late.
        self.delay = 0.0
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._swallow: Swallow | None = None
        self._is_hole = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut everything and stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    @property
    def port(self) -> int:
        """Where clients go, on the loopback."""
        return int(self._listener.getsockname()[1])

    def through(self, url: str, **query: str) -> str:
        """The URL of a database, by way of the proxy, with more options."""
        target = make_url(url).set(port=self.port).update_query_dict(query)
        return target.render_as_string(hide_password=False)

    # --- faults ---

    @contextmanager
    def swallow(self, times: int = 1, word: str = "") -> Iterator[Swallow]:
        """Let the server do what it is told, and lose its answer: the connection ends instead."""
        with self._lock:
            self._swallow = fault = Swallow(times, word)
        try:
            yield fault
        finally:
            with self._lock:
                self._swallow = None

    @contextmanager
    def black_hole(self, *, old_only: bool = False) -> Iterator[None]:
        """Take what is sent and pass nothing on; connections stay open, and new ones are accepted.

        Arguments:
            old_only: True: only those that stand now, which stay dead also afterwards: a gateway has forgotten them.
        """
        with self._lock:
            self._is_hole = not old_only
            for link in self._links:
                link.is_dead = True
        try:
            yield
        finally:
            with self._lock:
                self._is_hole = False

    def cut(self, share: float = 1.0, dice: random.Random | None = None) -> int:
        """End connections, all or a share of them, whatever they are in the middle of; how many there were."""
        with self._lock:
            links = [link for link in self._links if dice is None or dice.random() < share]
        for link in links:
            link.cut()
        return len(links)

    @property
    def connections(self) -> int:
        """How many stand."""
        return len(self._links)

    # --- how it is done ---

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:  # the server is down
                _end(client)
                continue
            server.settimeout(None)
            link = _Link(self, client, server, WIRES[self._kind]())
            with self._lock:
                link.is_dead = self._is_hole
                self._links.add(link)
            link.start()

    def swallowing(self, sql: str, commits: bool) -> Swallow | None:
        """The fault by which the answer to a statement is to get lost, if there is one."""
        with self._lock:
            return self._swallow if self._swallow is not None and self._swallow.takes(sql, commits) else None

    def forget(self, link: _Link) -> None:
        """A connection has ended."""
        with self._lock:
            self._links.discard(link)


class _Link:
    """One connection: the client's half and the server's."""

    def __init__(self, proxy: DatabaseProxy, client: socket.socket, server: socket.socket, wire: Wire) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._wire = wire
        self._conversation = Conversation()
        self._swallow: Swallow | None = None
        self.is_dead = False
        for half in (client, server):
            half.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Pass on what comes, from either side."""
        for pump in (self._requests, self._answers):
            threading.Thread(target=self._run, args=(pump,), daemon=True).start()

    def cut(self) -> None:
        """End both halves."""
        _end(self._client)
        _end(self._server)

    def _run(self, pump: Callable[[], None]) -> None:
        with suppress(OSError):
            pump()
        self.cut()
        self._proxy.forget(self)

    def _requests(self) -> None:
        while data := self._client.recv(_CHUNK):
            if self.is_dead:
                continue
            for sql in self._wire.statements(data):
                if fault := self._proxy.swallowing(sql, self._conversation.commits(sql)):
                    self._wire.expect_answer()
                    self._swallow = fault
            self._server.sendall(data)

    def _answers(self) -> None:
        while data := self._server.recv(_CHUNK):
            if self._swallow is not None:
                if self._wire.ends_answer(data):
                    self._swallow.then()
                    return
                continue
            if self._proxy.delay:
                time.sleep(self._proxy.delay)
            if not self.is_dead:
                self._client.sendall(data)


def _end(half: socket.socket) -> None:
    # A thread that sits in recv() keeps the socket open: closing alone would tell the other side nothing.
    with suppress(OSError):
        half.shutdown(socket.SHUT_RDWR)
    half.close()
