"""A warehouse to try things with: an HTTP service that can be made to fail. In real life it is somebody else's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

#: How it behaves, and what that is called.
MOODS = {"open": "It answers", "moody": "It fails every other time", "closed": "It is closed"}
#: It never has more than that of anything.
MOST = 100
_PORT = 8481


class WarehouseServer(ThreadingHTTPServer):
    """The warehouse on a port of loopback."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.mood = "open"
        self._lock = threading.Lock()
        self._requests = count(1)
        self._receipts: dict[str, str] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reserve(self, message_id: str, quantity: int) -> tuple[int, dict[str, Any]]:
        """Put goods aside, once for each message id; the status and the answer."""
        with self._lock:
            if self.mood == "closed":
                return 503, {"reason": "closed"}
            if quantity > MOST:
                return 422, {"reason": f"there are never more than {MOST}"}
            receipt = self._receipts.setdefault(message_id, f"R-{len(self._receipts) + 1:04}")
            if self.mood == "moody" and next(self._requests) % 2:
                return 500, {"reason": "the goods are put aside, but the answer got lost"}
            return 200, {"receipt": receipt}


class _Request(BaseHTTPRequestHandler):
    server: WarehouseServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.reserve(self.headers["Idempotency-Key"], body["quantity"])
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """The pages show what came of it."""


@contextmanager
def running() -> Iterator[WarehouseServer]:
    """A warehouse, for as long as the context is open."""
    try:
        server = WarehouseServer(_PORT)
    except OSError:
        server = WarehouseServer(0)  # the usual port is taken: any other will do
    with server:
        thread = threading.Thread(target=server.serve_forever, name="warehouse")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
