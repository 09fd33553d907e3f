"""A disk that is full, read-only or failing: one sentence says so, and a worker goes on when it is healed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from taskqueue.errors import DatabaseFull, DatabaseUnavailable, OutcomeUnknown
from tests.faults.child import recording
from tests.faults.disk import Disk, SmallDisk, mounted, small
from tests.faults.history import wait_until
from tests.faults.stage import Stage
from tests.faults.tasks import hold, record
from tests.servers import ALL_DATABASES, SERVERS, Server

pytestmark = pytest.mark.chaos
LETTER = "x" * 20_000
#: A server may end itself when the disk of its log is full.
SERVER_SAYS = (DatabaseFull, DatabaseUnavailable, OutcomeUnknown)
FAULTS = [(kind, "full") for kind in ALL_DATABASES] + [("sqlite", "read-only"), ("sqlite", "fails to sync")]


class Faulty(NamedTuple):
    """A stage whose database lies on a disk."""

    stage: Stage
    disk: Disk | SmallDisk
    server: Server | None


@pytest.fixture
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faulty]:
    """A stage on SQLite, or on a server of its own."""
    kind: str = request.param
    with ExitStack() as stack:
        # A folder that every account may walk through, as those of servers must.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskqueue-disk-", dir="/tmp")))
        folder.chmod(0o755)
        disk: Disk | SmallDisk
        server: Server | None = None
        if kind == "sqlite":
            disk = stack.enter_context(mounted(folder))
            url = f"sqlite:///{folder / 'queue.db'}"
        else:
            if reason := SERVERS[kind].missing():
                (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
            disk = stack.enter_context(small(folder, 300))
            server = stack.enter_context(SERVERS[kind](parent=folder))
            server.create_database("faulty")
            url = server.url("faulty")
        stage = Stage(url, tmp_path)
        stack.callback(stage.close)
        stack.callback(disk.heal)
        stack.enter_context(recording(stage.history))
        yield Faulty(stage, disk, server)


@pytest.mark.parametrize(("faulty", "fault"), FAULTS, indirect=["faulty"])
def test_given_a_fault_of_the_disk_when_it_is_healed_then_the_worker_goes_on_and_nothing_is_lost(
    faulty: Faulty, fault: str
) -> None:
    # given: a worker with a task in hand
    stage, disk, server = faulty
    stage.service.database._patience = 0.5
    queue = stage.create("SqlParallel", agent="server", error="dead")
    letters = stage.service.create("Sql", "letters")
    stage.fill(record, hold, record)
    worker = stage.start("work")
    stage.history.wait_for("start", number=2)
    # when
    break_down(disk, fault)
    kept: list[int] = []
    for data in (LETTER, "small"):
        with pytest.raises(DatabaseFull if server is None else SERVER_SAYS) as caught:
            while len(kept) < 10_000:
                kept.append(letters.create_item(data).id)
        assert len(str(caught.value).splitlines()) == 1
    stage.gate.let_through(3)  # should the lease end meanwhile, once more
    complaints = _Complaints(worker.log)
    # then: it says so, and does not run hot (a server that stands may have had room for what the worker writes)
    before, began = complaints.count(), time.monotonic()
    if server is None:
        wait_until(lambda: complaints.count() >= before + 4, "the worker tries again", worker.log_text)
    time.sleep(max(0.0, 1.5 - (time.monotonic() - began)))
    assert complaints.count() - before <= 20 * (time.monotonic() - began), worker.log_text()
    # when
    disk.heal()
    if server is not None:
        server.start()
    queue.enqueue(record, str(stage.folder), 4)
    # then
    for number in range(1, 5):
        stage.history.wait_for("finished", number=number, outcome="ok", pid=worker.pid)
    worker.end()
    assert queue.number_of_items() == 0
    found = [item.id for item in letters.items()]
    assert set(kept) <= set(found)
    assert len(found) - len(kept) <= (0 if server is None else 2), "the outcome of two was unknown at most"
    assert stage.history.times("finished", outcome="ok") == dict.fromkeys(range(1, 5), 1)


def break_down(disk: Disk | SmallDisk, fault: str) -> None:
    if fault == "full":
        disk.fill()
        return
    assert isinstance(disk, Disk)
    {"read-only": disk.refuse_writes, "fails to sync": disk.fail_to_sync}[fault]()


class _Complaints:
    """The warnings of a worker."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def count(self) -> int:
        return self._log.read_text().count(" WARNING ")
