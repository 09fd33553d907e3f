"""What a second worker process brings: ``python -m benchmarks.scale --help``.

``taskqueue work`` with one and with two processes, in turns, for tasks that wait 10 ms and for tasks that use 5 ms of
CPU. The rate is that of the tasks' own marks after the first tenth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from taskqueue import QueueService, Task

from . import scale_work
from .load import Load
from .peers.catalogue import OURS
from .peers.drain import drain
from .peers.witness import argument
from .servers import DATABASES, Home, running
from .work import Wrong

TASKS = {"waits 10 ms": scale_work.wait, "uses 5 ms of CPU": scale_work.burn}
_WORK = next(one for one in OURS if one.name == "taskqueue SqlParallel")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--databases", default=",".join(DATABASES), metavar="NAME,…")
    parser.add_argument("--count", type=int, default=1000, help="tasks of each drain")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(given)
    print("| database | a task | one process, per second | two | two / one | from | to | others' cores |")
    print("| --- | --- | --: | --: | --: | --: | --: | --: |")
    for database in options.databases.split(","):
        with running(database) as home, tempfile.TemporaryDirectory(prefix="taskqueue-bench-") as folder:
            for name in TASKS:
                print(_row(home, name, options.count, options.rounds, Path(folder)), flush=True)
    return 0


def _row(home: Home, name: str, count: int, rounds: int, folder: Path) -> str:
    load, rates = Load(), []
    for number in range(rounds):
        turns = (1, 2) if number % 2 else (2, 1)
        rates.append({processes: _rate(home, name, count, processes, folder) for processes in turns})
        print(f"{home.name}, {name}, round {number + 1}: {rates[-1]}", file=sys.stderr, flush=True)
    ratios = [one[2] / one[1] for one in rates]
    return (
        f"| {home.name} | {name} | {median(one[1] for one in rates):,.0f} | {median(one[2] for one in rates):,.0f} "
        f"| **{median(ratios):.2f}** | {min(ratios):.2f} | {max(ratios):.2f} | {load.foreign() or 0:.2f} |"
    )


def _rate(home: Home, name: str, count: int, processes: int, folder: Path) -> float:
    url = home.fresh()
    service = QueueService(url)
    queue = service.create("SqlParallel", "bench")
    queue.create_items(Task(TASKS[name], (argument(number),)) for number in range(count))
    service.close()
    drained = drain(_WORK, url, count, processes, folder)
    if drained.repeated or (drained.done < count and not drained.was_cut):
        raise Wrong(f"{name}: {drained.done} of {count} ran, {drained.repeated} more than once")
    return drained.rate


if __name__ == "__main__":
    raise SystemExit(main())
