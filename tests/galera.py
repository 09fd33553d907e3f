"""A private Galera cluster of three nodes on the loopback, for the tests that need one."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pymysql
from typing_extensions import Self

from tests.ports import free_port
from tests.servers import MariaDBServer, ServerError, _find

#: Where distributions put the library of the cluster.
_LIBRARIES = [
    Path(folder, "libgalera_smm.so")
    for folder in ("/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib64/galera", "/usr/local/lib/galera")
]
#: So long (seconds) a node may take until it answers, a copy of all data included.
_SYNC_TIMEOUT = 60.0
Answer = TypeVar("Answer")


def missing() -> str:
    """What is not installed, as a sentence; empty when everything is."""
    if reason := MariaDBServer.missing():
        return reason
    if _library() is None:
        return "Galera is not installed: libgalera_smm.so was not found"
    for program in ("rsync", "wsrep_sst_rsync"):
        if _find(program) is None:
            return f"Galera cannot copy a node's data: {program} was not found"
    return ""


def _library() -> Path | None:
    return next((path for path in _LIBRARIES if path.exists()), None)


class Node(MariaDBServer):
    """One node of a cluster."""

    name = "galera"

    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__()
        self._cluster = cluster
        self.number = number
        self.group_port, self._ist_port, self._sst_port = free_port(), free_port(), free_port()
        #: Whether the next start makes a new cluster of this node's data.
        self.is_first = number == 0

    def _command(self, data: Path) -> list[str]:
        first = ["--wsrep-new-cluster"] if self.is_first else []
        others = ",".join(f"127.0.0.1:{node.group_port}" for node in self._cluster.nodes)
        provider = {
            "gmcast.listen_addr": f"tcp://127.0.0.1:{self.group_port}",
            "ist.recv_addr": f"127.0.0.1:{self._ist_port}",
            "gcache.size": "16M",
            **self._cluster.provider_options,
        }
        return [
            *super()._command(data),
            *first,
            "--wsrep-on=ON",
            f"--wsrep-provider={_library()}",
            f"--wsrep-cluster-address=gcomm://{others}",
            "--wsrep-cluster-name=taskqueue",
            f"--wsrep-node-name=node{self.number}",
            "--wsrep-node-address=127.0.0.1",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{self._sst_port}",
            f"--wsrep-provider-options={';'.join(f'{key}={value}' for key, value in provider.items())}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            *self._cluster.server_options,
        ]

    def wait_until_synced(self) -> None:
        """Wait until the node takes part in the cluster, with all its data."""
        _until(lambda: self.is_synced, f"node {self.number} did not join:\n{self._log_tail()}")
        self.is_first = False

    @property
    def is_synced(self) -> bool:
        """Whether it takes part in the cluster, by its own account."""
        return self.status("wsrep_ready") == "ON" and self.status("wsrep_local_state") == "4"

    def status(self, name: str) -> str | None:
        """A status variable; None while the node does not answer."""
        with suppress(pymysql.Error, OSError):
            found = self.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")
            return str(found[0][1]) if found else None
        return None

    def pause(self) -> None:
        """Stop its process, as a machine does that hangs."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def cut_off(self) -> None:
        """Let nothing pass between it and the other nodes; clients still reach it."""
        self.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")

    def join_again(self) -> None:
        """Let all pass again, and wait until it takes part."""
        self.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        self.wait_until_synced()

    def recovered(self) -> int:
        """The number of the last transaction that the data of the stopped node hold."""
        with self._open_log() as log:
            done = self._spawn([*super()._command(self._home / "data"), "--wsrep-recover"], log)
            done.wait(_SYNC_TIMEOUT)
        found = re.findall(
            r"Recovered position:? [0-9a-f-]{36}:(-?\d+)", (self._home / "log").read_text(errors="replace")
        )
        return int(found[-1]) if found else -1

    def allow_bootstrap(self) -> None:
        """Tell the node that it may make a new cluster although it was not the last to leave the old one."""
        file = self._home / "data" / "grastate.dat"
        if file.exists():
            file.write_text(file.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))
        self.is_first = True


class Cluster:
    """Three nodes with the same data.

    Arguments:
        provider_options: further settings of the group communication.
        server_options: further options of each server.
    """

    def __init__(
        self, size: int = 3, provider_options: dict[str, str] | None = None, server_options: tuple[str, ...] = ()
    ) -> None:
        self.provider_options = provider_options or {}
        self.server_options = server_options
        self.nodes: list[Node] = []
        self.nodes += [Node(self, number) for number in range(size)]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
                node.wait_until_synced()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the nodes and delete their data."""
        for node in self.nodes:
            if node.running:
                with suppress(ProcessLookupError):
                    node.go_on()
                node.kill()
            node.close()

    @property
    def hosts(self) -> list[str]:
        """The addresses of the nodes, as ``hosts=`` of a service takes them."""
        return [f"127.0.0.1:{node.port}" for node in self.nodes]

    def url(self, database: str) -> str:
        """The URL of a database on the first node."""
        return self.nodes[0].url(database)

    def execute(self, statement: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement on the first node that answers."""
        for node in self.nodes:
            if node.running and node.status("wsrep_ready") == "ON":
                return node.execute(statement, database=database)
        raise ServerError("no node of the cluster answers")

    @property
    def is_whole(self) -> bool:
        """Whether all nodes take part, and each knows of all: one that has just come back may not know that the others
        have given it up."""
        size = str(len(self.nodes))
        return all(node.running and node.is_synced and node.status("wsrep_cluster_size") == size for node in self.nodes)

    def wait_until_whole(self) -> None:
        """Wait until all nodes take part. Before that one more fault may leave no majority."""
        _until(lambda: self.is_whole, "not all nodes came to take part again")

    def heal(self) -> None:
        """Make it whole, whatever a test has left."""
        if self.is_whole:
            return
        if not any(node.running for node in self.nodes):
            self.recover()
        for node in self.nodes:
            if node.running:
                node.go_on()
                node.execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")
        self.rejoin()

    def rejoin(self) -> None:
        """Start those again that do not run."""
        for node in self.nodes:
            node.start()
            node.wait_until_synced()
        self.wait_until_whole()

    def recover(self) -> None:
        """Start the cluster again after all nodes were killed, from the one that knows most."""
        best = max(self.nodes, key=Node.recovered)
        best.allow_bootstrap()
        for node in (best, *(other for other in self.nodes if other is not best)):
            node.start()
            node.wait_until_synced()

    def wait_until_equal(self, query: str, *, database: str) -> list[tuple[Any, ...]]:
        """Wait until a query gives the same on all nodes; what it gives."""

        def look() -> list[list[tuple[Any, ...]]] | None:
            answers = [node.execute(query, database=database) for node in self.nodes]
            return answers if all(answer == answers[0] for answer in answers) else None

        return _until(look, "the nodes hold different data")[0]


def _until(look: Callable[[], Answer | None], otherwise: str) -> Answer:
    deadline = time.monotonic() + _SYNC_TIMEOUT
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise ServerError(otherwise)
