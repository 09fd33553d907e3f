"""Somebody else's HTTP service: writes down every request, then answers 200, or 500 to a third of them.

``python receiver.py PORT JOURNAL SEED``. Which requests fail depends on the seed, the order and how often it has come
before, as the journal says; so it goes on as before when it was killed and is started again.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Receiver(ThreadingHTTPServer):
    """The service on one port of loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, journal: Path, seed: str) -> None:
        super().__init__(("127.0.0.1", port), Request)
        self._seed = seed
        self._lock = threading.Lock()
        lines = journal.read_text().splitlines() if journal.exists() else []
        self._seen = Counter(json.loads(line)["order"] for line in lines)
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(self, arrival: dict[str, object]) -> int:
        """Write an arrival down; the status of the answer."""
        with self._lock:
            order = str(arrival["order"])
            chance = random.Random(f"{self._seed} {order} {self._seen[order]}").random()
            self._seen[order] += 1
            status = 500 if chance < 1 / 3 else 200
            # One write for a line: whoever is killed has written it, or has not.
            os.write(self._journal, json.dumps({**arrival, "status": status}).encode() + b"\n")
            return status


class Request(BaseHTTPRequestHandler):
    """One request: an order in JSON, with its message id in a header."""

    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.server.take({**body, "message_id": self.headers["Idempotency-Key"]}))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """The journal is enough."""


if __name__ == "__main__":
    with Receiver(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
