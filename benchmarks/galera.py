"""What writing on several nodes of a Galera cluster costs: ``python -m benchmarks.galera``.

Three processes claim and remove items one at a time, in three ways that take turns: all of them on the node that the
service chooses by itself from the hosts it was given (*default*), all of them on one node by its address alone
(*one node*), and each on a node of its own (*all nodes*). The goal is *default* >= 0.8 of *one node*.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from statistics import median

from taskqueue import QueueService
from tests.galera import Cluster

from .load import Load
from .work import Wrong

_forked = multiprocessing.get_context("fork")
_CLIENTS = 3
_LEASE_MS = 60_000


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.galera", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(given)
    with Cluster() as cluster:
        cluster.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        all_hosts = "mysql+pymysql://root@/bench?" + "&".join(f"host={host}" for host in cluster.hosts)
        urls = {
            "default": [all_hosts] * _CLIENTS,
            "one node": [cluster.url("bench")] * _CLIENTS,
            "all nodes": [node.url("bench") for node in cluster.nodes],
        }
        load, rounds = Load(), []
        for number in range(options.rounds):
            names = list(urls)[number % 3 :] + list(urls)[: number % 3]
            rounds.append({name: _claims(urls[name], options.seconds) for name in names})
        foreign = load.foreign()
    print("| way | claims a second | of one node | lowest | highest |")
    print("| --- | --: | --: | --: | --: |")
    for name in urls:
        ratios = sorted(one[name] / one["one node"] for one in rounds)
        print(f"| {name} | {median(one[name] for one in rounds):.0f} | {median(ratios):.2f} | {ratios[0]:.2f} "
              f"| {ratios[-1]:.2f} |")  # fmt: skip
    print(f"\n- others' cores: {foreign}")
    return 0 if median(one["default"] / one["one node"] for one in rounds) >= 0.8 else 1


def _claims(urls: Sequence[str], seconds: float) -> float:
    """Claims a second of so many clients together; each item once."""
    service = QueueService(urls[0])
    service.create("SqlParallel", "bench", reset=True).create_items(range(int(seconds * 3000)))
    service.close()
    barrier, results = _forked.Barrier(len(urls)), _forked.SimpleQueue()
    clients = [_forked.Process(target=_claim, args=(url, seconds, barrier, results)) for url in urls]
    for client in clients:
        client.start()
    found = [results.get() for _ in clients]
    for client in clients:
        client.join()
    numbers = [number for mine in found for number in mine]
    if len(set(numbers)) < len(numbers):
        raise Wrong("an item was claimed twice")
    return len(numbers) / seconds


def _claim(url: str, seconds: float, barrier: object, results: object) -> None:
    service = QueueService(url)
    queue = service.load("bench")
    mine: list[object] = []
    queue.number_of_items()
    barrier.wait()  # type: ignore[attr-defined]
    end = time.monotonic() + seconds
    while time.monotonic() < end and (items := queue.lease(1, _LEASE_MS)):
        queue.delete_item(items[0])
        mine.append(items[0].data)
    results.put(mine)  # type: ignore[attr-defined]
    service.close()


if __name__ == "__main__":
    raise SystemExit(main())
