"""The command line in a process of its own, or in this one where that is enough."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taskqueue import BatchQueue, QueueService
from taskqueue.cli import main

ROOT = Path(__file__).resolve().parents[2]
JOBS = "tests.cli.jobs"
PROGRAM = ("-m", "taskqueue")


def children(process: subprocess.Popen[Any]) -> set[int]:
    """The processes that a command has forked; none where the system does not tell."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return set(map(int, listed.read_text().split())) if listed.exists() else set()


class Shell:
    """A folder with a database, and the commands started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'taskqueue.db'}"
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
        self._env |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
        self._started: list[subprocess.Popen[Any]] = []

    def start(
        self, *args: str, env: dict[str, str] | None = None, program: Sequence[str] = PROGRAM, **options: Any
    ) -> subprocess.Popen[str]:
        """Start ``taskqueue ARGS`` and leave it running."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options
        command = [sys.executable, "-W", "error", *program, *args]
        process = subprocess.Popen(command, cwd=self.folder, env=self._env | (env or {}), text=True, **pipes)
        self._started.append(process)
        return process

    def run(self, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``taskqueue ARGS`` to its end."""
        process = self.start(*args, env=env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def fifo(self, name: str) -> Path:
        """A new named pipe in the folder."""
        path = self.folder / name
        os.mkfifo(path)
        return path

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                offspring = children(process)
                process.kill()
                for pid in offspring:  # they would keep the pipes open
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.communicate()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Commands in processes of their own, in an empty folder."""
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.fixture
def service(shell: Shell) -> Iterator[QueueService]:
    """The service on the database file of the folder."""
    made = QueueService(shell.url)
    yield made
    made.close()


@pytest.fixture
def queue(service: QueueService) -> BatchQueue:
    """An empty queue "q" of type Sql."""
    return service.create("Sql", "q")


class Here:
    """Calls the command line in this process."""

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(main, args)


@pytest.fixture
def here(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command line in this process, with the folder as the current one; nothing of it stays behind."""
    monkeypatch.chdir(shell.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(QueueService, "_default", None)
    for name in ("TASKQUEUE_DATABASE_URL", "TASKQUEUE_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    return Here()


def refused(result: Result | subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that was refused."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert (code, result.stdout) == (2, ""), (code, result.stdout, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert "Traceback" not in lines[0]
    return lines[0]
