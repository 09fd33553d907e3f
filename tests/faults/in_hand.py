"""Who has which of the long tasks in hand, as the history tells while it is written."""

from __future__ import annotations

from collections.abc import Container

from tests.faults.history import History


class InHand:
    """The long tasks in hand; ``long`` has their numbers."""

    def __init__(self, history: History, long: Container[int]) -> None:
        self._history = history
        self._long = long
        self._place = 0
        self._numbers: dict[int, int] = {}

    def look(self) -> None:
        """Take in what has happened since the latest look."""
        lines, self._place = self._history.read_on(self._place)
        for line in lines:
            if line["kind"] == "start" and line["number"] in self._long:
                self._numbers[line["pid"]] = line["number"]
            elif line["kind"] == "finished":
                self._numbers.pop(line["pid"], None)

    def forget(self, pid: int) -> None:
        """That process is dead."""
        self._numbers.pop(pid, None)

    def of(self, pid: int) -> int | None:
        """The number of the long task that a process has in hand, if any."""
        return self._numbers.get(pid)

    def is_shared(self, pid: int) -> bool:
        """Whether somebody else has begun the long task, too, that a process has in hand."""
        return list(self._numbers.values()).count(self._numbers.get(pid, 0)) > 1
