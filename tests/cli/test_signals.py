"""Ctrl-C and SIGTERM: in good order, then at once; nothing stays leased, nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task
from taskqueue.cli.signals import Interrupts
from tests.cli.conftest import JOBS, Shell

ALLOW = ("--allow", JOBS)
TYPES = pytest.mark.parametrize("type_", ["Sql", "SqlParallel"])
SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def _queue_with_blocker(service: QueueService, type_: str, callback: str, *args: str) -> BatchQueue:
    """A hundred items, the one that matters in the middle of those leased ahead."""
    queue = service.create(type_, "q")
    queue.create_items(Task(f"{JOBS}:ok") for _item in range(50))
    queue.create_item(Task(f"{JOBS}:{callback}", args, "the blocker"))
    queue.create_items(Task(f"{JOBS}:ok") for _item in range(49))
    return queue


def _read(fifo: Path) -> None:
    """Wait until the task has written into the pipe."""
    assert fifo.read_text() == "started"


def _wait_for_line(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"no line {beginning!r}: {process.stderr.read() if process.stderr else ''}")


@TYPES
@SIGNALS
def test_a_task_that_listens_is_finished_and_the_rest_given_back(
    type_: str, number: signal.Signals, code: int, shell: Shell, service: QueueService
) -> None:
    # given
    started = shell.fifo("started")
    queue = _queue_with_blocker(service, type_, "until_stopped", str(started))
    process = shell.start("run", "q", *ALLOW, "--grace", "600")
    _read(started)
    # when
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err) == (code, "")
    assert f"Stopped by {number.name}: 51 done, 49 items left" in out
    assert queue.statistics() == {"total": 49, "ready": 49, "blocked": 0, "leased": 0, "delayed": 0, "dead": 0}
    assert {item.run_count for item in queue.items()} == {0}
    assert queue.status == "active"


@TYPES
@SIGNALS
@pytest.mark.parametrize("output", ["--json", "--quiet"])
def test_a_task_that_does_not_listen_is_interrupted_after_the_grace_period(
    type_: str, number: signal.Signals, code: int, output: str, shell: Shell, service: QueueService
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue = _queue_with_blocker(service, type_, "until_opened", str(started), str(gate))
    process = shell.start("run", "q", *ALLOW, "--grace", "0.2", output)
    _read(started)
    # when
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err) == (code, "")
    _assert_given_back(queue)
    if output == "--json":
        facts = json.loads(out)
        assert (facts["stopped_by"], facts["completed"], facts["number_of_items"]) == (number.name, 50, 50)
    else:
        assert out == ""


@SIGNALS
def test_a_second_signal_interrupts_at_once(
    number: signal.Signals, code: int, shell: Shell, service: QueueService
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue = _queue_with_blocker(service, "Sql", "until_opened", str(started), str(gate))
    process = shell.start("run", "q", *ALLOW, "--grace", "600")
    _read(started)
    # when
    process.send_signal(number)
    _wait_for_line(process, "Stopping")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err) == (code, "")
    assert f"Stopped by {number.name}: 50 done, 50 items left" in out
    _assert_given_back(queue)


@SIGNALS
def test_a_run_that_waits_is_stopped_at_once(
    number: signal.Signals, code: int, shell: Shell, queue: BatchQueue
) -> None:
    # given
    queue.create_item(Task(f"{JOBS}:ok"), delay=600)
    process = shell.start("run", "q", *ALLOW, "--grace", "600")
    _wait_for_line(process, "waiting: next item is delayed")
    # when
    process.send_signal(number)
    # then
    assert (process.wait(30), queue.statistics()["delayed"]) == (code, 1)


@SIGNALS
def test_retry_gives_its_item_back_too(number: signal.Signals, code: int, shell: Shell, queue: BatchQueue) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    item = queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate))
    process = shell.start("retry", "q", *ALLOW, "--grace", "0", "--json")
    _read(started)
    # when
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err, json.loads(out)["stopped_by"]) == (code, "", number.name)
    standing = queue.fetch_item(item.id)
    assert standing is not None
    assert (standing.run_count, standing.release_time) == (0, None)


def test_after_an_interrupt_the_next_run_finishes_the_queue(shell: Shell, service: QueueService) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue = _queue_with_blocker(service, "Sql", "until_opened", str(started), str(gate))
    process = shell.start("run", "q", *ALLOW, "--grace", "0")
    _read(started)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    # when
    again = shell.start("run", "q", *ALLOW, "--json")
    _read(started)
    gate.write_text("go on")
    out, _err = again.communicate(timeout=30)
    # then
    assert (again.returncode, json.loads(out)["completed"], queue.number_of_items()) == (0, 50, 0)


def test_the_handlers_of_before_are_put_back_and_no_timer_is_left() -> None:
    # given
    before = [signal.getsignal(number) for number in HANDLED]
    stopped: list[bool] = []
    # when
    with Interrupts(lambda: stopped.append(True), grace=600) as interrupts:
        signal.raise_signal(signal.SIGTERM)
    # then
    assert (interrupts.signal, stopped) == (signal.SIGTERM, [True])
    assert [signal.getsignal(number) for number in HANDLED] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_without_a_signal_nothing_is_stopped() -> None:
    # given
    stopped: list[bool] = []
    # when
    with Interrupts(lambda: stopped.append(True), grace=600) as interrupts:
        pass
    # then
    assert (interrupts.signal, stopped) == (None, [])


def test_outside_of_a_task_no_signal_interrupts() -> None:
    # given
    stopped = threading.Event()
    with Interrupts(stopped.set, grace=0) as interrupts:
        # when
        signal.raise_signal(signal.SIGINT)
        assert stopped.wait(10)
        for number in HANDLED:
            signal.raise_signal(number)
    # then
    assert interrupts.signal is signal.SIGINT


def test_inside_of_a_task_the_second_signal_interrupts(service: QueueService) -> None:
    # given
    queue = service.create("Memory", "m")
    item = queue.enqueue(f"{JOBS}:interrupts_itself")
    runner = Runner(queue)
    # when
    with Interrupts(runner.stop, grace=600), pytest.raises(KeyboardInterrupt):
        runner.run_all()
    # then
    standing = queue.fetch_item(item.id)
    assert standing is not None
    assert (standing.run_count, queue.statistics()["leased"]) == (0, 0)


def _assert_given_back(queue: BatchQueue) -> None:
    assert queue.statistics() == {"total": 50, "ready": 50, "blocked": 0, "leased": 0, "delayed": 0, "dead": 0}
    assert {item.run_count for item in queue.items()} == {0}
    assert next(queue.items()).title == "the blocker"
