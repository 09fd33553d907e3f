"""Many who look at once, and bodies that are made to cost: the state is answered quickly, and memory stays flat (S10).

``POLLERS=200 POLL_SECONDS=30`` is the long form, whose figures are printed and whose bounds are asserted; without it a
few pollers show that the harness works.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.attacks.serving import WAIT, Served, serving
from tests.web_api.app import Visitor
from tests.web_api.world import World

POLLERS = int(os.environ.get("POLLERS") or 8)
SECONDS = float(os.environ.get("POLL_SECONDS") or 2)
IS_LONG = POLLERS >= 100
#: How often a page of a run in hand looks, at most (seconds).
PAUSE = 2.0 if IS_LONG else 0.1
#: Of the 95th percentile, in the long form (seconds); and by how much memory may grow (MiB).
BOUND, GROWTH = 0.1, 32.0
DEEP = b'{"data":' + b"[" * 100_000


def test_given_many_pollers_and_deep_bodies_when_answered_then_quickly_and_in_the_same_memory(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    ann = Visitor(world.usual, "ann")
    cookie = ann.client.get_cookie("session")
    assert cookie is not None
    sent = {"Cookie": f"session={cookie.value}", "X-CSRFToken": ann.token, "Content-Type": "application/json"}
    path = f"/queue/run/{world.runs['ann', 'blocked']}/state"
    times: list[float] = []
    faults: list[str] = []
    with serving("waitress", world) as served:
        work(served, path, sent, 1.0, min(POLLERS, 20), [], faults)  # until all its threads have worked once
        before = memory(served)
        # when
        work(served, path, sent, SECONDS, POLLERS, times, faults)
        after = memory(served)
    # then
    times.sort()
    p95 = times[int(len(times) * 0.95)]
    with capsys.disabled():
        print(f"\n{POLLERS} pollers, {len(times)} answers in {SECONDS:g} s: median "
              f"{statistics.median(times) * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms, longest {times[-1] * 1000:.1f} ms; "
              f"memory {before:.1f} -> {after:.1f} MiB")  # fmt: skip
    assert faults == []
    assert after - before < GROWTH
    assert not IS_LONG or p95 <= BOUND


def work(
    served: Served,
    path: str,
    headers: dict[str, str],
    seconds: float,
    pollers: int,
    times: list[float],
    faults: list[str],
) -> None:
    """Look at the state, each on a connection of its own, while somebody sends deep JSON all the time."""
    end = time.monotonic() + seconds

    def poll(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", served.port, timeout=WAIT)
        time.sleep(PAUSE * number / pollers)  # as people come: not all in the same moment
        while time.monotonic() < end:
            begun = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - begun)
            if answer.status != 200:
                faults.append(f"{answer.status}")
            time.sleep(PAUSE)
        connection.close()

    def send_deep() -> None:
        while time.monotonic() < end:
            for address in ("/ops/echo", "/webservice"):
                connection = HTTPConnection("127.0.0.1", served.port, timeout=WAIT)
                connection.request("POST", address, DEEP, headers)
                answer = connection.getresponse()
                answer.read()
                connection.close()
                if answer.status not in (200, 400):  # the door's envelope says no with 200
                    faults.append(f"deep: {answer.status}")
            time.sleep(0.5)

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(pollers)]
    threads.append(threading.Thread(target=send_deep))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def memory(served: Served) -> float:
    """What the server's process holds (MiB)."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
