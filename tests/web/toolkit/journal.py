"""What the tasks of one queue have done, in their own words and in the order in which it happened.

Lines of JSON in one file, each appended by a single write(2): no line is mixed with another, and the order of
the lines is the order of the events, across processes that may die at any moment. Beside it lie the gates at which
tasks wait and the marks that they look for.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

#: Seconds after which a staged wait gives up: many times what it takes on a busy machine.
DEADLINE = 20.0
Line = dict[str, Any]


class Journal:
    """The folder of one queue. Tasks write into it, tests read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "journal.jsonl"

    # --- what a task does with it ---

    def write(self, event: str, **facts: Any) -> None:
        """Append one event of this process."""
        line = {"event": event, "pid": os.getpid(), "thread": threading.get_ident(), "at": time.monotonic(), **facts}
        file = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, (json.dumps(line) + "\n").encode())
        finally:
            os.close(file)

    def pass_gate(self, name: str) -> None:
        """Wait until the test opens the gate of that name."""
        give_up = time.monotonic() + 2 * DEADLINE
        while not (self.folder / f"gate-{name}").exists():
            if (self.folder / "over").exists() or not self.folder.exists():
                raise TestOver(f"the test ended before it opened gate {name!r}")
            if time.monotonic() > give_up:
                raise TestOver(f"nobody opened gate {name!r}")
            time.sleep(0.005)

    def is_marked(self, name: str) -> bool:
        """Whether the test has set the mark of that name."""
        return (self.folder / f"mark-{name}").exists()

    # --- what a test does with it: move things ---

    def open_gate(self, name: str = "gate") -> None:
        """Let the tasks that wait at this gate, and those that will come to it, go on."""
        (self.folder / f"gate-{name}").touch()

    def close_gate(self, name: str = "gate") -> None:
        """Hold back again whatever comes to the gate from now on."""
        (self.folder / f"gate-{name}").unlink(missing_ok=True)

    def mark(self, name: str = "fixed") -> None:
        """Set what a ``fail_until`` task looks for."""
        (self.folder / f"mark-{name}").touch()

    def end_test(self) -> None:
        """Let everything that still waits anywhere give up."""
        (self.folder / "over").touch()

    # --- what a test does with it: read ---

    def lines(self, event: str | None = None, **facts: Any) -> list[Line]:
        """The events so far, or those of one kind and with the given facts."""
        text = self._file.read_text() if self._file.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # of a line that is just being written a reader may see a part
        lines = [json.loads(line) for line in whole.splitlines()]
        wanted = facts if event is None else {"event": event, **facts}
        return [line for line in lines if wanted.items() <= line.items()]

    def numbers(self, event: str = "start", **facts: Any) -> list[int]:
        """The numbers of the tasks to which it happened, in order; that of ``on_end`` is 0."""
        return [line["number"] for line in self.lines(event, **facts)]

    def starts(self) -> Counter[int]:
        """How often each task was started, by its number."""
        return Counter(self.numbers("start"))

    def wait_for(self, event: str, *, count: int = 1, within: float = DEADLINE, **facts: Any) -> Line:
        """Wait until it has happened ``count`` times; return the latest one.

        The browser goes on meanwhile, but handlers of Playwright in this process (``page.route``) do not.
        """
        what = f"{count} x {event} {facts or ''}"
        wait_until(lambda: len(self.lines(event, **facts)) >= count, what, explain=self.tail, within=within)
        return self.lines(event, **facts)[count - 1]

    def wait_until_quiet(self, seconds: float = 0.7) -> list[int]:
        """Wait until no task has started for a while and all have ended; return the numbers of those that did."""
        give_up = time.monotonic() + DEADLINE
        before: list[Line] = []
        since = time.monotonic()
        while time.monotonic() - since < seconds or len(self.lines("start")) > self._ended():
            if (lines := self.lines()) != before:
                before, since = lines, time.monotonic()
            assert time.monotonic() < give_up, f"the tasks do not come to rest:\n{self.tail()}"
            time.sleep(0.02)
        return self.numbers("end")

    def _ended(self) -> int:
        return sum(line["event"] in ENDINGS for line in self.lines())

    def tail(self) -> str:
        """The last events, for a failure message."""
        lines = self.lines()
        began = lines[0]["at"] if lines else 0
        shown = [f"{line.pop('at') - began:7.2f} s  {line.pop('event'):6} {line}" for line in lines[-30:]]
        return "\n".join(shown) or "(no task has done anything)"

    # --- what a test does with it: check ---

    def assert_each_once(self, numbers: Iterable[int]) -> None:
        """Each of these tasks was started and ended once, and no other one was."""
        expected = dict.fromkeys(numbers, 1)
        assert self.starts() == expected, f"not each once:\n{self.tail()}"
        assert Counter(self.numbers("end")) == expected, f"not each ended:\n{self.tail()}"

    def assert_no_overlap(self) -> None:
        """Never was a task started while another one ran, in whatever process."""
        running: dict[tuple[int, int], Line] = {}
        for line in self.lines():
            if line["event"] == "killed":
                running = {key: start for key, start in running.items() if start["pid"] not in line["pids"]}
            elif line["event"] == "start":
                assert not running, f"task {line['number']} was started beside {[*running.values()]}:\n{self.tail()}"
                running[line["pid"], line["thread"]] = line
            elif line["event"] in ENDINGS:
                running.pop((line["pid"], line["thread"]), None)

    def assert_order(self) -> None:
        """Tasks were started in the order in which they stand in the queue; further attempts count for nothing."""
        first_starts = [*dict.fromkeys(self.numbers("start"))]
        assert first_starts == sorted(first_starts), f"out of order: {first_starts}\n{self.tail()}"


#: Every start is followed by one of these, unless its process was killed.
ENDINGS = ("end", "fail")


class TestOver(Exception):
    """Raised in a task that still waits when its test has ended."""

    __test__ = False


def wait_until(
    condition: Callable[[], bool], what: str, *, explain: Callable[[], str] = str, within: float = DEADLINE
) -> None:
    """Wait for a condition, but not for ever."""
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, f"did not happen within {within:g} s: {what}\n{explain()}"
        time.sleep(0.005)
