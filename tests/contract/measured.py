"""A program that serves metrics while its forked children empty a queue; it tells what was counted."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.request

from taskqueue import QueueService, Runner
from taskqueue.metrics import serve_metrics

CHILDREN = 2


def fork_runner(url: str) -> int:
    """A child that runs the queue until it is empty; its pid."""
    pid = os.fork()
    if not pid:
        service = QueueService(url, allow=["tests"])
        Runner(service.load("jobs")).run_all()
        os._exit(0)
    return pid


def main(url: str) -> None:
    """Print what was counted, whether the port came back, and where the counters lay."""
    service = QueueService(url)
    server = serve_metrics(service, 0)
    for pid in [fork_runner(url) for _ in range(CHILDREN)]:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=20) as answer:
        text = answer.read().decode()
    sleeper = os.fork()
    if not sleeper:
        signal.pause()
    server.close()
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    print(json.dumps({"text": text, "folder": folder, "is_port_free": is_free(server.port)}))
    os.kill(sleeper, signal.SIGKILL)
    os.waitpid(sleeper, 0)
    service.close()


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as visitor:
        return visitor.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    main(sys.argv[1])
