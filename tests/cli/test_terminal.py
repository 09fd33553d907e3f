"""On a terminal a bar is drawn, at most ten times a second, and failures stand above it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from taskqueue import BatchQueue, Task
from tests.cli.conftest import JOBS, Shell
from tests.cli.jobs import HOSTILE

ALLOW = ("--allow", JOBS)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What rich may send: colours, cursor up, erase a line, hide and show the cursor.
_HARMLESS = re.compile(r"\x1b\[(\d+(;\d+)*m|\dA|2K|\?25[lh])")


class Terminal:
    """A pseudo terminal with a command on it."""

    def __init__(self, shell: Shell, *args: str, term: str = "xterm-256color") -> None:
        self._ours, theirs = pty.openpty()
        env = {"TERM": term, "COLUMNS": "100", "LINES": "30"}
        self.process: subprocess.Popen[str] = shell.start(*args, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        #: All that was written so far.
        self.raw = ""

    @property
    def text(self) -> str:
        """Without colours and movements."""
        return _CONTROL.sub("", self.raw)

    def read_until(self, part: str) -> None:
        """Read until ``part`` stands on the terminal."""
        give_up = time.monotonic() + 30
        while part not in self.text:
            assert time.monotonic() < give_up, self.raw
            assert self._read(), self.raw

    def read_all(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        with suppress(OSError):  # how Linux tells that the other side is closed
            data = os.read(self._ours, 65536)
            self.raw += data.decode()
            return bool(data)
        return False

    def close(self) -> None:
        """Hang up."""
        os.close(self._ours)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Closes at the end what a test has put here."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_the_bar_shows_title_message_counts_rate_and_time(
    shell: Shell, queue: BatchQueue, terminals: list[Terminal]
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue.enqueue(f"{JOBS}:ok")
    queue.create_item(Task(f"{JOBS}:until_opened", (str(started), str(gate)), "Importing [b]places[/b]"))
    queue.enqueue(f"{JOBS}:bad", "uh", title="Failing one")
    # when
    terminal = Terminal(shell, "run", "q", *ALLOW, "--error-mode", "continue")
    terminals.append(terminal)
    assert started.read_text() == "started"
    # then
    terminal.read_until("Importing [b]places[/b] - 3/7 reading names")
    assert re.search(r"━ +33 % +1/3 +[\d.]+/s +[\d.]+ s gone +[\d.]+ s left", terminal.text)
    # when
    gate.write_text("go on")
    code = terminal.read_all()
    # then
    assert code == 1
    assert "failed, removed: Failing one: ValueError: uh" in terminal.text
    assert "Finished: 2 done, 1 failed in" in terminal.text.splitlines()[-1]


def test_waiting_for_others_is_told(shell: Shell, queue: BatchQueue, terminals: list[Terminal]) -> None:
    # given
    queue.enqueue(f"{JOBS}:ok")
    queue.claim_item(lease_time=90)
    # when
    terminal = Terminal(shell, "run", "q", *ALLOW)
    terminals.append(terminal)
    terminal.read_until("waiting: item held by somebody else, up to 1:")
    # then
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_all() == 130
    assert "Stopped by SIGINT: 0 done, 1 item left" in terminal.text


def test_hostile_titles_cannot_steer_the_terminal(shell: Shell, queue: BatchQueue, terminals: list[Terminal]) -> None:
    # given
    queue.enqueue(f"{JOBS}:hostile", title=HOSTILE)
    # when
    terminal = Terminal(shell, "run", "q", *ALLOW)
    terminals.append(terminal)
    assert terminal.read_all() == 1
    # then
    assert "[red]evil[/red]" in terminal.text
    rest = _HARMLESS.sub("", terminal.raw)
    assert all(char in "\r\n" or char.isprintable() for char in rest), repr(rest)


def test_many_quick_tasks_do_not_make_it_flicker(shell: Shell, queue: BatchQueue, terminals: list[Terminal]) -> None:
    # given
    queue.create_items(Task(f"{JOBS}:ok") for _item in range(2000))
    # when
    terminal = Terminal(shell, "run", "q", *ALLOW)
    terminals.append(terminal)
    assert terminal.read_all() == 0
    # then
    seconds = float(terminal.text.splitlines()[-1].split()[-2])
    assert 1 <= terminal.raw.count("\x1b[1A") <= 10 * seconds + 5


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    term: str, shell: Shell, queue: BatchQueue, terminals: list[Terminal]
) -> None:
    # given
    queue.enqueue(f"{JOBS}:ok")
    # when
    terminal = Terminal(shell, "run", "q", *ALLOW, term=term)
    terminals.append(terminal)
    # then
    assert terminal.read_all() == 0
    assert "\x1b" not in terminal.raw
    assert "Running queue 'q': 1 item" in terminal.raw
