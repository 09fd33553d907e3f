"""What happened, in the order in which it happened, across processes that may die at any moment.

Lines of JSON in one file, each appended by a single write(2): no line is torn or mixed with another, and the order of
the lines is the order of the events.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Seconds after which a staged wait gives up: many times what it takes on a busy machine.
DEADLINE = 30.0
Line = dict[str, Any]
#: Counts on whatever is done to the wall clock, and is the same for all processes of the host.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class History:
    """An append-only file of events."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.jsonl"
        #: What was read so far, and the place in the file after it: whoever waits looks again and again.
        self._lines: list[Line] = []
        self._place = 0

    def write(self, kind: str, **facts: Any) -> None:
        """Append one event of this process, or of the one whose ``pid`` is given."""
        line = json.dumps({"kind": kind, "pid": os.getpid(), "time": time.time(), "mono": mono(), **facts}) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def lines(self, kind: str | None = None, **facts: Any) -> list[Line]:
        """The events so far, or those of one kind and with the given facts."""
        news, self._place = self.read_on(self._place)
        self._lines += news
        wanted = facts if kind is None else {"kind": kind, **facts}
        return [line for line in self._lines if wanted.items() <= line.items()]

    def stream(self) -> Iterator[Line]:
        """All events so far, one after the other: those of a million tasks are too many for a list."""
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from (json.loads(line) for line in file if line.endswith(b"\n"))

    def read_on(self, place: int) -> tuple[list[Line], int]:
        """The events from a place in the file on, and the place after them."""
        if not self.path.exists():
            return [], place
        with self.path.open("rb") as file:
            file.seek(place)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # of a line that is just being written a reader may see a part
        return [json.loads(line) for line in whole.splitlines()], place + len(whole)

    def numbers(self, kind: str, **facts: Any) -> list[int]:
        """The numbers of the tasks that such an event happened to, in order."""
        return [line["number"] for line in self.lines(kind, **facts)]

    def times(self, kind: str, **facts: Any) -> Counter[int]:
        """How often such an event happened to the task of each number."""
        return Counter(self.numbers(kind, **facts))

    def wait_for(self, kind: str, *, count: int = 1, **facts: Any) -> Line:
        """Wait until such an event has happened ``count`` times; return the latest one."""
        wait_until(lambda: len(self.lines(kind, **facts)) >= count, f"{count} x {kind} {facts}", self.tail)
        return self.lines(kind, **facts)[count - 1]

    def tail(self) -> str:
        """The last events, for a failure message."""
        return "\n".join(str(line) for line in self.lines()[-20:]) or "(nothing happened)"


def mono() -> float:
    """Seconds by the clock of all lines of a history."""
    return time.clock_gettime(_CLOCK)


def wait_until(condition: Callable[[], bool], what: str, explain: Callable[[], str] = str) -> None:
    """Wait for a condition, but not for ever."""
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, f"did not happen within {DEADLINE:g} s: {what}\n{explain()}"
        time.sleep(0.002)
