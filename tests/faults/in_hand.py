"""Who has which of the long tasks in hand, and how many tasks were sent, as the history tells while it is written."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.history import History


class InHand:
    """The long tasks in hand; ``is_long`` says of a number whether its task is one."""

    def __init__(self, history: History, is_long: Callable[[int], bool]) -> None:
        self._history = history
        self._is_long = is_long
        self._place = 0
        self._numbers: dict[int, int] = {}
        #: How many tasks were sent, how many of them acknowledged.
        self.sent = self.acknowledged = 0

    def look(self) -> None:
        """Take in what has happened since the latest look."""
        lines, self._place = self._history.read_on(self._place)
        for line in lines:
            if line["kind"] == "start" and self._is_long(line["number"]):
                self._numbers[line["pid"]] = line["number"]
            elif line["kind"] == "finished":
                self._numbers.pop(line["pid"], None)
            elif line["kind"] == "sent":
                self.sent += line["count"]
            elif line["kind"] == "acknowledged":
                self.acknowledged += line["count"]

    def forget(self, pid: int) -> None:
        """That process is dead."""
        self._numbers.pop(pid, None)

    def of(self, pid: int) -> int | None:
        """The number of the long task that a process has in hand, if any."""
        return self._numbers.get(pid)

    def is_shared(self, pid: int) -> bool:
        """Whether somebody else has begun the long task, too, that a process has in hand."""
        return list(self._numbers.values()).count(self._numbers.get(pid, 0)) > 1
