"""The application under test in a process of its own, which may be killed, frozen and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.web.tasks import ROOT
from tests.web.toolkit.journal import DEADLINE, Journal, wait_until

CHECKOUT = Path(__file__).resolve().parents[3]
#: Name of the environment variable that carries the configuration.
CONFIG = "TASKQUEUE_TEST_CONFIG"
# Ends the server's processes when the tests have died without saying "end".
_WATCHDOG = 'read -r said || kill -s KILL -- "-$1"'


@dataclass(frozen=True)
class Hosting:
    """How the application is served."""

    #: "waitress" (threads) or "gunicorn" (processes with one thread each).
    kind: str = "waitress"
    #: Threads or processes.
    count: int = 4
    #: Seconds after which gunicorn kills a worker that does not come back from a request.
    timeout: int = 5

    def command(self, port: int) -> list[str]:
        """What runs in the server's process."""
        if self.kind == "waitress":
            return [sys.executable, "-m", "tests.web.app", str(port), str(self.count)]
        return [
            *(sys.executable, "-m", "gunicorn", "tests.web.app:create_app()"),
            *("--bind", f"127.0.0.1:{port}", "--workers", str(self.count), "--worker-class", "sync"),
            *("--timeout", str(self.timeout), "--graceful-timeout", "5", "--no-control-socket", "--log-level", "info"),
        ]


@dataclass
class AppServer:
    """Serves ``tests.web.app`` on a port that stays the same."""

    folder: Path
    database_url: str
    #: Settings of ``app.config`` and switches of ``tests.web.app``.
    config: dict[str, Any]
    hosting: Hosting = field(default_factory=Hosting)
    port: int = 0
    #: Where to write down that processes were killed, so that the tasks' journal makes sense.
    journals: list[Journal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    # --- what a test does with it ---

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.hosting.command(self.port),
                cwd=CHECKOUT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group of its own, with all of its workers
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        wait_until(self._answers, "the application answers", explain=self.log_text)

    def stop(self) -> None:
        """SIGTERM: let it end in good order."""
        self._signal(signal.SIGCONT)
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all its processes: a crash."""
        pids = self.pids()
        self._end(signal.SIGKILL)
        for journal in self.journals:
            journal.write("killed", pids=pids)

    def restart(self) -> None:
        """Start it again on the same port, after ``stop`` or ``kill``; kills what still runs."""
        if self.is_running:
            self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP, and wait until it really stands."""
        self._signal(signal.SIGSTOP)
        wait_until(lambda: {process_state(pid) for pid in self.pids()} <= {"T", "Z"}, "the server stands still")

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had happened."""
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port

    def pids(self) -> list[int]:
        """Its processes."""
        assert self._process is not None, "the server is not running"
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--sid", str(self._process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in listing.stdout.split()]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of every process that plays a part, also of the command line."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
        return inherited | {
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
            "TASKQUEUE_DATABASE_URL": self.database_url,
            ROOT: str(self.folder),
            CONFIG: json.dumps(self.config),
            **more,
        }

    def log_text(self, start: int = 0) -> str:
        """What it has logged, from a position on."""
        if not self.log.exists():
            return "(no log)"
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")[-20_000:]

    def log_size(self) -> int:
        """The position at which the log stands."""
        return self.log.stat().st_size if self.log.exists() else 0

    # --- how it is done ---

    def _answers(self) -> bool:
        assert self.is_running, f"the application ended while starting:\n{self.log_text()}"
        with suppress(OSError), closing(socket.create_connection(self.address, timeout=2)) as connection:
            connection.settimeout(DEADLINE)
            connection.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        time.sleep(0.03)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running and self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if number is signal.SIGKILL:
            self._signal(number)
        elif self.is_running:
            process.send_signal(number)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            process.wait()
            raise AssertionError(f"the application did not end on {number.name}:\n{self.log_text()}") from None
        finally:
            if self._watchdog is not None:
                self._watchdog.communicate(b"end\n")
                self._watchdog = None
        # Workers whose master is gone must be gone too before somebody looks at what they did.
        wait_until(lambda: not [pid for pid in self.pids() if process_state(pid) != "Z"], "all workers are gone")
        self._process = None


def process_state(pid: int) -> str:
    """The letter that ps shows: "T" for stopped, "Z" for one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    return "Z"
