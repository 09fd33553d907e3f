"""Free loopback ports for the servers that the tests start."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Sequence
from contextlib import closing, suppress

# Below the range from which systems take the ports of outgoing connections: a client that retries while
# its server is down could otherwise be given that very port, and even connect to itself.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port on which nobody listens, and which no other worker of these tests takes while its server is down."""
    for port in random.sample(_share(), 200):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port was found")


def _share() -> Sequence[int]:
    """Of all ports every n-th, where n workers of pytest-xdist (gw0, gw1, ...) are at work."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _PORTS[number % count :: count]
