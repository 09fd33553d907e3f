"""What a long backlog needs of memory: ``python -m benchmarks.memory --help``.

On SQLite a process streams items into a queue, then one ``taskqueue work --grouped`` process drains them. The same with
a short backlog shows what both need anyway.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from taskqueue import QueueService, Task

from .peers.catalogue import OURS
from .peers.drain import end, environment_of, megabytes
from .peers.with_taskqueue import run
from .peers.witness import VARIABLE, Witness, argument
from .servers import running
from .work import Wrong

#: Shares of the backlog that are done when the worker's memory is looked at.
SHARES = (0.1, 0.5, 0.9)
_GROUPED = next(one for one in OURS if one.name.endswith("grouped") and one.server == "sqlite")
_spawned = multiprocessing.get_context("spawn")
_PATIENCE = 600.0


class Producing(NamedTuple):
    """Megabytes of the producer before it streams, and the most it had."""

    before: float
    at_most: float


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--counts", default="1000,200000", metavar="N,…", help="backlogs")
    options = parser.parse_args(given)
    print("| items | producer before, MB | at most | worker at 10 %, MB | at 50 % | at 90 % |")
    print("| --: | --: | --: | --: | --: | --: |")
    with running("sqlite") as home, tempfile.TemporaryDirectory(prefix="taskqueue-bench-") as folder:
        for count in map(int, options.counts.split(",")):
            url = home.fresh()
            with _spawned.Pool(1) as pool:
                produced = pool.apply(_produce, (url, count))
            figures = [*produced, *_drain(url, count, Path(folder))]
            print(f"| {count:,} | {' | '.join(f'{figure:.1f}' for figure in figures)} |", flush=True)
    return 0


def _produce(url: str, count: int) -> Producing:
    service = QueueService(url)
    queue = service.create("SqlParallel", "bench")
    queue.create_item(Task(run, (argument(0),)))
    queue.reset()
    before = _own("VmRSS")
    queue.create_items(Task(run, (argument(number),)) for number in range(count))
    service.close()
    return Producing(before, _own("VmHWM"))


def _own(what: str) -> float:
    """From /proc: what getrusage() calls the most may be that of the process which started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def _drain(url: str, count: int, folder: Path) -> list[float]:
    path = folder / "witness"
    witness = Witness.fresh(path, count)
    environment = {**environment_of(_GROUPED, url), VARIABLE: str(path)}
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            _GROUPED.work(1), env=environment, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
        try:
            return [_memory_at(int(share * count), witness, worker) for share in SHARES]
        finally:
            end(worker)
            witness.close()


def _memory_at(done: int, witness: Witness, worker: subprocess.Popen[bytes]) -> float:
    give_up = time.monotonic() + _PATIENCE
    while len(witness.moments()) < done:
        if worker.poll() is not None or time.monotonic() > give_up:
            raise Wrong(f"{len(witness.moments())} of {done} tasks ran")
        time.sleep(0.05)
    return megabytes(worker.pid)


if __name__ == "__main__":
    sys.exit(main())
