"""A private Redis with the settings of its product, or with an append file that is flushed at each write."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.ports import free_port

_START_TIMEOUT = 10.0


@contextmanager
def running_redis(*, append: bool) -> Iterator[str]:
    """Its URL; gone at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="taskqueue-bench-") as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--logfile", "log"]
        if append:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        process = subprocess.Popen(command)
        try:
            _wait(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(_START_TIMEOUT)


def _wait(port: int) -> None:
    give_up = time.monotonic() + _START_TIMEOUT
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.02)
