"""What a child process of the fault tests does, from its first line to its last (which it may never reach)."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from sqlalchemy import event

from taskqueue import (
    BatchQueue,
    DatabaseUnavailable,
    NothingReady,
    QueueService,
    Runner,
    Task,
    TaskQueueError,
    Worker,
    cli,
    signals,
    travel,
)  # fmt: skip
from taskqueue.storage import settling
from taskqueue.storage.database import PATIENCE
from taskqueue.storage.rows import listed
from tests.faults import deeds, tasks
from tests.faults.chores import KEY, make_chores
from tests.faults.deeds import DEEDS
from tests.faults.history import History
from tests.faults.met import count_errors
from tests.faults.parcels import book, make_parcels
from tests.faults.points import Point
from tests.faults.supplies import supply
from tests.faults.taking import take_all

#: Seconds: short, so that a dead holder is noticed in a test's time.
LEASE = 1.2
HEARTBEAT = 0.3


@dataclass
class Script:
    """The part of one process; sent to it as it is."""

    url: str
    folder: Path
    queue: str
    role: str
    log: Path
    #: By how many seconds the clocks of this process are ahead: time that nobody has to wait for.
    shift: float = 0.0
    #: Where it kills itself.
    point: Point | None = None
    #: After so many finished items the run is asked to stop.
    stop_after: int | None = None
    #: What the run calls at its end.
    on_end: str | None = None
    #: How long the run waits for what others hold.
    wait: float | None = 0
    #: Whether it says that it is ready, and begins when it is let through the gate.
    is_gated: bool = False
    #: False: it writes whatever its fence, as a harness must notice.
    has_fence: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    #: For how long a database that is away is tried again.
    patience: float = PATIENCE
    #: The first number that a producer gives.
    first: int = 0
    #: How many threads a worker has.
    threads: int = 1
    #: Whether it commits completions in groups.
    grouped: bool = False
    #: Whether its commits to SQLite do not wait for the disk: a protection that is switched off on purpose.
    is_careless: bool = False
    #: What stands behind ``taskqueue`` on the command line.
    arguments: tuple[str, ...] = ()


def main(script: Script) -> None:
    """Play a part, for as long as the test is there."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    play(script)


def play(script: Script) -> None:
    """Play a part."""
    _write_to(script.log)
    tasks.folders.append(script.folder)
    if not script.has_fence:
        vars(settling)["guarded"] = unguarded
    if script.point is not None:
        script.point.install()
    history = History(script.folder)
    met = count_errors()
    service = make_service(script.url, **script.settings)
    service.database._patience = script.patience  # no setting of a service: who needs it shorter than a test?
    if script.is_careless:
        for engine in service.database._both_engines():
            event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous = OFF").close())
    if script.is_gated:
        history.write("ready")
        tasks.Gate.wait(str(script.folder))
    with travel(script.shift), recording(history):
        _ROLES[script.role](script, service, history)
    service.close()
    if met:
        history.write("met", errors=dict(met))


def make_service(url: str, **settings: Any) -> QueueService:
    """A service as all processes of a test use it."""
    # Kills at random may hit the same item again and again, which is no fault of its own.
    settings = {"lease_slice": LEASE, "heartbeat": HEARTBEAT, "interrupt_limit": 1000, **settings}
    return QueueService(url, allow=[tasks.__name__, deeds.__name__], **settings)


def recording(history: History) -> Any:
    """Write down how each item ends, as long as the context is open."""

    def finished(_queue: BatchQueue, *, item: Any, outcome: Any, **_facts: Any) -> None:
        if isinstance(item.data, Task):
            history.write("finished", number=item.data.args[1], fence=item.fence, outcome=str(outcome))

    return signals.item_finished.connected_to(finished)


def _run(script: Script, service: QueueService, history: History) -> None:
    """Run the queue to its end, once."""
    runner = Runner(service.load(script.queue), on_end=script.on_end)
    _stop_after(runner, script.stop_after)
    try:
        result = runner.run_all(wait=script.wait)
    except TaskQueueError as error:
        history.write("ended", error=type(error).__name__, text=str(error))
    else:
        exception = type(result.exception).__name__ if result.exception else None
        history.write("ended", error=None, **{**vars(result), "exception": exception})


def _stop_after(runner: Runner, limit: int | None) -> None:
    def count(_queue: BatchQueue, **_: Any) -> None:
        finished.append(1)
        if len(finished) == limit:
            runner.stop()

    finished: list[int] = []
    if limit is not None:
        signals.item_finished.connect(count, weak=False)


def _step(script: Script, service: QueueService, history: History) -> None:
    """Run one item at a time, in the face of others who do the same."""
    queue = service.load(script.queue)
    runner = Runner(queue)
    while queue.number_of_items():
        result = runner.run_next()
        assert result.exception is None or isinstance(result.exception, NothingReady), result.exception
    history.write("ended", error=None)


def _serve(script: Script, service: QueueService, history: History) -> None:
    """Run whatever comes until the end is announced, then what is left."""
    queue = service.load(script.queue)
    while True:
        is_closing = closing(script.folder).exists()
        result = Runner(queue).run_all(wait=None if is_closing else 0.05)
        assert not result.is_error, result.exception
        if is_closing:
            break
    history.write("ended", error=None)


def _work(script: Script, service: QueueService, history: History) -> None:
    """Serve all queues with agent="server" until SIGTERM."""
    worker = Worker(service, threads=script.threads, grouped=script.grouped)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    _reach(service)
    history.write("serving")
    report = worker.run()
    history.write("ended", error=None, executed=report.executed, ended_by=report.ended_by)


def _reach(service: QueueService) -> None:
    """Begin only when the database answers: who finds it away at the very first look ends, to be started again."""
    while True:
        with suppress(DatabaseUnavailable):
            return service.database.ensure_schema()
        threading.Event().wait(0.1)


def _take(script: Script, service: QueueService, history: History) -> None:
    """Claim and remove items until nothing is left."""
    take_all(service.load(script.queue), history)


def _command(script: Script, service: QueueService, history: History) -> None:
    """The command line, with a service of its own."""
    cli.main(["--database", script.url, *script.arguments], prog_name="taskqueue")


def _do(script: Script, service: QueueService, history: History) -> None:
    """Do one deed at a queue."""
    (name,) = script.arguments
    DEEDS[name].do(service, script.queue)


def _empty(script: Script, service: QueueService, history: History) -> None:
    """Serve all queues with agent="server" until they are empty; the looks at the rota may come late."""
    report = Worker(service, threads=script.threads).drain()
    history.write("ended", error=None, executed=report.executed)


def _deliver(script: Script, service: QueueService, history: History) -> None:
    """Deliver the messages of an outbox until there are none."""
    make_parcels(service, script.folder)
    report = Worker(service, ["outbox"], threads=1).drain()
    history.write("ended", error=None, executed=report.executed)


def _book(script: Script, service: QueueService, history: History) -> None:
    """Be an application that records calls, each in a transaction of its own."""
    _outbox, parcels = make_parcels(service, script.folder)
    for number in range(1, 5):
        book(service, parcels, number)
        history.write("acknowledged", number=number)


def _operate(script: Script, service: QueueService, history: History) -> None:
    """Execute the calls of operations until there are none."""
    make_chores(service, script.folder, told="told" in script.arguments)
    report = Worker(service, ["operations"], threads=1).drain()
    history.write("ended", error=None, executed=report.executed)


def _drain(script: Script, service: QueueService, history: History) -> None:
    """The same without a worker."""
    history.write("ended", error=None, executed=make_chores(service, script.folder).drain())


def _call(script: Script, service: QueueService, history: History) -> None:
    """Be a client that calls an operation directly, with an idempotency key."""
    name, holds = script.arguments
    ops = make_chores(service, script.folder)
    try:
        history.write("answered", answer=ops.call(name, {"number": 1, "holds": holds}, key=KEY))
    except TaskQueueError as error:
        history.write("answered", answer=type(error).__name__)


def _produce(script: Script, service: QueueService, history: History) -> None:
    """Add items until the end is announced, never too many at once."""
    _reach(service)
    queue, number = service.load(script.queue), script.first
    while not closing(script.folder).exists():
        if number % 10 == 0:
            _let_others_catch_up(queue, script.folder)
        history.write("sent", number=number)
        queue.enqueue(tasks.effect, str(script.folder), number)
        history.write("acknowledged", number=number)
        number += 1


def _supply(script: Script, service: QueueService, history: History) -> None:
    """Be a producer of a soak."""
    most, pause, *names = script.arguments
    _reach(service)
    supply(service, history, names, script.first, int(most), float(pause), closing(script.folder))


def _postpone(script: Script, service: QueueService, history: History) -> None:
    """Add one item that is to wait for a second."""
    item = service.load(script.queue).enqueue(tasks.record, str(script.folder), script.first, delay=1.0)
    assert item.release_time is not None
    submitted, due = item.submit_time.timestamp(), item.release_time.timestamp()
    history.write("postponed", number=script.first, submitted=submitted, due=due)


def _let_others_catch_up(queue: BatchQueue, folder: Path) -> None:
    while queue.number_of_items() > 60 and not closing(folder).exists():
        threading.Event().wait(0.01)


def unguarded(held: Any) -> tuple[str, dict[str, str] | None, dict[str, Any]]:
    """In the place of ``rows.guarded``: whoever has had an item may write."""
    return "id IN ($ids)", listed(item_id for item_id, _fence in held), {}


def closing(folder: Path) -> Path:
    """The file whose existence announces the end."""
    return folder / "closing"


_ROLES = {
    "run": _run,
    "step": _step,
    "serve": _serve,
    "work": _work,
    "take": _take,
    "command": _command,
    "produce": _produce,
    "supply": _supply,
    "do": _do,
    "empty": _empty,
    "postpone": _postpone,
    "deliver": _deliver,
    "book": _book,
    "operate": _operate,
    "drain": _drain,
    "call": _call,
}


def _write_to(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")


def _end_with_parent() -> None:
    """Tests that were killed must not leave their children waiting at the gate."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    with suppress(OSError):
        wait([parent.sentinel])
    os._exit(1)
