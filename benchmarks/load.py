"""How busy other programs were while we measured, from /proc; a figure taken beside them is noise."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


class Load:
    """Cores that programs other than this one and its servers use, from its making on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _busy(), _own()

    def foreign(self) -> float | None:
        """The average since then, in cores; None where there is no /proc."""
        busy, own = _busy(), _own()
        if busy is None or own is None or self._before[0] is None or self._before[1] is None:
            return None
        elapsed = max(time.monotonic() - self._began, 0.01)
        return max((busy - self._before[0]) - (own - self._before[1]), 0.0) / elapsed


def _busy() -> float | None:
    with suppress(OSError):
        user, nice, system, _idle, _wait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
        return (user + nice + system + irq + softirq) / _TICK
    return None


def _own() -> float | None:
    """CPU seconds of this process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            pid = int(stat.parent.name)
            parents[pid] = int(fields[1])
            used[pid] = sum(map(int, fields[11:15]))
    me = os.getpid()
    if me not in parents:
        return None
    return sum(ticks for pid, ticks in used.items() if _is_below(pid, me, parents)) / _TICK


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid != ancestor:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True
