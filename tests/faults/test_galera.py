"""A Galera cluster of three nodes: its writer is killed, hangs and is cut off, and all of it is killed."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest

from tests.faults import figures
from tests.faults.checks import violations
from tests.faults.conftest import CLUSTER_SETTINGS as SETTINGS
from tests.faults.history import wait_until
from tests.faults.met import all_met
from tests.faults.stage import Child, Stage
from tests.galera import Cluster, Node

pytestmark = pytest.mark.chaos
_SECONDS = float(os.environ.get("SOAK_SECONDS") or 0)
#: How often the writer is killed, hangs and is cut off: 21 faults in seven minutes.
ROUNDS = max(1, round(_SECONDS / 60))
#: How often all nodes are killed: five times then.
WHOLE = max(1, round(_SECONDS / 84))
#: Seconds for which those who work on the cluster wait for it: a recovery of all nodes takes many.
PATIENCE = 120.0
#: Seconds for which a node hangs, or is cut off: longer than the others wait for it.
AWAY = 8.0
#: Seconds after all nodes take part again within which everything is done: the lease of a runner that was killed just
#: before, and what the queue may need beyond.
HEALS_WITHIN = SETTINGS["lease_slice"] + 5


@pytest.fixture
def database_url(cluster_url: str) -> str:
    """The URL that names all nodes."""
    return cluster_url


class Work:
    """Those who fill and who empty a queue, and what befalls them."""

    def __init__(self, stage: Stage, cluster: Cluster, producers: int, runners: int) -> None:
        self.stage, self.cluster = stage, cluster
        self.node_faults = self.cluster_kills = self.worker_kills = 0
        stage.create("SqlParallel")
        stage.create_effects()
        self._sources = [self._start("produce", first=number * 1_000_000) for number in range(1, producers + 1)]
        self._runners = [self._start("serve") for _ in range(runners)]

    def _start(self, role: str, first: int = 0) -> Child:
        return self.stage.start(role, first=first, settings=SETTINGS, patience=PATIENCE)

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more tasks have been done."""
        before = len(self.stage.history.lines("finished", outcome="ok"))
        for step in range(1, count + 1):
            wanted = before + step
            wait_until(lambda: len(self.stage.history.lines("finished", outcome="ok")) >= wanted, "work goes on",  # noqa: B023
                       self.stage.history.tail)  # fmt: skip

    def kill_a_runner(self) -> None:
        """At any moment of its work."""
        self._runners.pop(0).kill()
        self.worker_kills += 1

    def replace_it(self) -> None:
        """Let another one take its place, who finds a database: a first use does not wait for one."""
        self._runners.append(self._start("serve"))

    def writer(self) -> Node:
        """The node that those who work on the cluster use."""
        users = {node: int(node.status("Threads_connected") or 0) for node in self.cluster.nodes if node.running}
        return max(users, key=lambda node: users[node])

    def disturb(self, what: Callable[[Node], None], heal: Callable[[Node], None]) -> None:
        """Let something happen to the writer; work goes on elsewhere, and when the node is back as well."""
        node = self.writer()
        what(node)
        self.node_faults += 1
        if what is not hang:  # of a node that hangs the others must take their leave first
            self.wait_for_more()
        heal(node)
        self.cluster.wait_until_whole()
        self.wait_for_more()

    def kill_all_nodes(self) -> None:
        """At the same moment, and start the cluster again from the node that knows most."""
        for node in self.cluster.nodes:
            node.pause()  # so that none tells another
        for node in self.cluster.nodes:
            node.kill()
        self.cluster_kills += 1
        self.cluster.recover()

    def end(self, what: str, database: str) -> None:
        """Let all come to their end, and look whether every promise was kept."""
        healed = time.monotonic()
        self.stage.announce_the_end()
        for child in self._sources:
            child.wait_until_done()
        wait_until(lambda: not self.stage.queue.number_of_items(), "all is done", self.stage.history.tail)
        seconds = time.monotonic() - healed
        # A servant may have found the queue empty, and ended, just before a producer's last item came.
        for child in [*self._runners, self._start("serve")]:
            child.wait_until_done()
        effects = [(int(number), int(fence)) for number, fence in self.cluster.wait_until_equal(
            "SELECT number, fence FROM effects ORDER BY number, fence", database=database
        )]  # fmt: skip
        lines = self.stage.history.lines()
        again = len([line for line in lines if line["kind"] == "finished" and line["outcome"] == "retry"])
        broken = violations(lines, effects, kills=again + self.worker_kills)
        done = [line["time"] for line in lines if line["kind"] == "finished" and line["outcome"] == "ok"]
        figures.note(
            what, tasks=len(effects), worker_kills=self.worker_kills, node_faults=self.node_faults,
            cluster_kills=self.cluster_kills, lost=sum("is lost" in one for one in broken),
            overlapping=sum("was started under" in one for one in broken),
            twice=sum("times" in one for one in broken), tried_again=again, errors=all_met(lines),
            longest_standstill=round(max(later - one for one, later in itertools.pairwise(done)), 1),
            seconds_to_heal=round(seconds, 1),
        )  # fmt: skip
        assert broken == []
        assert self.cluster.wait_until_equal("SELECT COUNT(*) FROM taskqueue_item", database=database) == [(0,)]
        assert len(effects) >= 40, f"too little happened: {len(effects)} done"
        assert seconds <= HEALS_WITHIN


def hang(node: Node) -> None:
    """Stop it for longer than the others wait for it."""
    node.pause()
    threading.Event().wait(AWAY)  # the fault itself: nothing tells how the others get on meanwhile


def test_given_producers_and_runners_when_writers_and_runners_die_hang_and_are_cut_off_then_others_take_over(
    stage: Stage, cluster: Cluster, database: str
) -> None:
    work = Work(stage, cluster, producers=2, runners=3)
    work.wait_for_more()
    for _ in range(ROUNDS):
        work.kill_a_runner()
        work.replace_it()
        work.disturb(Node.kill, Node.start)
        work.disturb(hang, Node.go_on)
        work.disturb(Node.cut_off, Node.join_again)
    work.end("Galera, faults of nodes", database)


def test_given_work_in_hand_when_all_nodes_are_killed_and_recovered_then_nothing_acknowledged_is_lost(
    stage: Stage, cluster: Cluster, database: str
) -> None:
    work = Work(stage, cluster, producers=1, runners=2)
    for _ in range(WHOLE):
        work.wait_for_more()
        work.kill_a_runner()
        work.kill_all_nodes()
        work.replace_it()
    work.wait_for_more()
    work.end("Galera, all nodes killed", database)
