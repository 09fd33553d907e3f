"""One contestant at work: tasks are put in by one process and done by others, and the witness is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.work import Wrong

from .contestant import URL, Contestant
from .witness import VARIABLE, Witness

#: Seconds after which slow contestants are stopped: their rate is that of what they have done.
CUT = 8.0
#: Seconds in which the first task must have run.
START = 30.0
#: The share of the tasks after which is measured: until then not all workers may be there.
WARM = 0.1
_TICK = 0.02


@dataclass
class Drained:
    """What was measured of one drain."""

    #: Tasks per second, all workers together.
    rate: float
    #: Seconds from the start of the first worker to its first task.
    start: float
    #: Megabytes of all its processes together, shared memory counted once.
    memory: float
    done: int
    repeated: int
    #: Whether it was stopped before all was done, because it took too long.
    was_cut: bool


@dataclass
class Produced:
    """Tasks put in per second, in a process that has imported everything."""

    rate: float


def produce(contestant: Contestant, url: str, count: int, *, bulk: bool) -> Produced:
    """Put ``count`` tasks in."""
    words = [sys.executable, "-m", "benchmarks.peers.produce", contestant.module, str(count), str(int(bulk))]
    done = subprocess.run(words, env=environment_of(contestant, url), capture_output=True, text=True)
    if done.returncode:
        raise Wrong(f"{contestant.name}: {done.stderr[-800:]}")
    return Produced(count / float(done.stdout.split()[-1]))


def drain(contestant: Contestant, url: str, count: int, workers: int, folder: Path) -> Drained:
    """Let workers do what was put in."""
    path = folder / "witness"
    witness = Witness.fresh(path, count)
    environment = {**environment_of(contestant, url), VARIABLE: str(path)}
    began = time.monotonic_ns()
    log = (folder / "log").open("wb")
    processes = [
        subprocess.Popen(
            contestant.work(workers), env=environment, stdout=log, stderr=log, cwd=Path.cwd(), start_new_session=True
        )
        for _ in range(contestant.commands(workers))
    ]
    try:
        memory, was_cut = _watch(witness, processes, count)
    finally:
        for process in processes:
            end(process)
        log.close()
    moments, repeated = witness.moments(), witness.repeated
    witness.close()
    if len(moments) < 2:
        raise Wrong(f"{contestant.name}: {len(moments)} tasks ran: {(folder / 'log').read_text()[-800:]}")
    first = int(len(moments) * WARM)
    rate = (len(moments) - first - 1) * 1e9 / max(moments[-1] - moments[first], 1)
    return Drained(rate, (moments[0] - began) / 1e9, memory, len(moments), repeated, was_cut)


def environment_of(contestant: Contestant, url: str) -> dict[str, str]:
    """What its processes find in their environment."""
    return {**os.environ, URL: url, "TASKQUEUE_DATABASE_URL": url, VARIABLE: os.devnull, **contestant.environment}


def _watch(witness: Witness, processes: list[subprocess.Popen[bytes]], count: int) -> tuple[float, bool]:
    """Wait until all is done, or the time is over; the most memory that was used, and whether time was over."""
    give_up, cut, memory, look = time.monotonic() + START, None, 0.0, 0
    while True:
        done = len(witness.moments()) if look % 5 == 0 else 0
        if look % 10 == 0:
            memory = max(memory, sum(megabytes(process.pid) for process in processes))
        look += 1
        if done and cut is None:
            cut = time.monotonic() + CUT
        if done >= count or all(process.poll() is not None for process in processes):
            return memory, False
        if time.monotonic() > (cut or give_up):
            return memory, True
        time.sleep(_TICK)


def end(process: subprocess.Popen[bytes]) -> None:
    """In good order if it can, but all of it."""
    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def megabytes(leader: int) -> float:
    """Of all processes of a session."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            if os.getsid(int(folder.name)) == leader:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
