"""The processes of the receiver's test: the receiver, which can be killed and started again, and the workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.outbox.receiving import receiver

_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE = 60.0
SEED = "1"


@dataclass(frozen=True)
class Arrival:
    """A request as the receiver has written it down."""

    order: int
    customer: str
    message_id: str
    status: int


class Receiving:
    """The receiver on one port."""

    def __init__(self, folder: Path) -> None:
        self._journal = folder / "arrivals"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, on the same port as before."""
        command = [sys.executable, receiver.__file__, str(self.port), str(self._journal), SEED]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def arrivals(self) -> list[Arrival]:
        """All that has come, in order."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return [Arrival(**json.loads(line)) for line in lines]


class Working:
    """``taskqueue work`` in processes of its own."""

    def __init__(self, url: str, port: int, folder: Path, *options: str) -> None:
        env = {**os.environ, "PYTHONPATH": str(_ROOT), "TASKQUEUE_DATABASE_URL": url, "SHOP_RECEIVER_PORT": str(port)}
        app = ("--app", "tests.outbox.receiving.shop:service")
        command = [sys.executable, "-W", "error", "-m", "taskqueue", *app, "work", *options]
        self._log = folder / "workers.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)

    def stop(self) -> tuple[int, str]:
        """Let them end in good order: the exit code, and what they have said."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_PATIENCE), self._log.read_text()
        finally:
            self._process.kill()


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
