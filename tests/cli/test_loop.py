"""``loop``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import signal

import pytest

from taskqueue import BatchQueue, QueueService, Task
from tests.cli.conftest import JOBS, Shell, refused

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"
ALLOW = ("--allow", JOBS)


def test_it_says_what_it_did(shell: Shell, queue: BatchQueue) -> None:
    queue.create_items(Task(OK) for _item in range(3))

    result = shell.run("loop", "q", *ALLOW)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("3 done, 0 failed in ")
    assert result.stdout.endswith(", 0 items left (0 blocked): no item can be claimed.\n")


def test_it_prints_json(shell: Shell, service: QueueService) -> None:
    queue = service.create("Sql", "q", error="delete")
    for callback in (OK, BAD, f"{JOBS}:chatty", OK):
        queue.enqueue(callback)

    result = shell.run("loop", "q", *ALLOW, "--json", "--max-requests", "3")

    facts = json.loads(result.stdout)
    assert facts.pop("loop_duration") > 0
    assert facts == {
        "queue": "q", "loop_requests": 3, "item_successes": 2, "item_errors": 1, "queue_ready": 1, "queue_blocked": 0,
        "queue_total": 1, "exit_message": "reached the request limit (3)",
    }  # fmt: skip
    assert result.returncode == 1


@pytest.mark.parametrize("options", [("--max-duration", "0"), ("--max-requests", "0")])
def test_limits_are_kept(shell: Shell, queue: BatchQueue, options: tuple[str, ...]) -> None:
    queue.enqueue(OK)

    result = shell.run("loop", "q", *ALLOW, *options)

    assert result.returncode == 0
    assert result.stdout.startswith("0 done, 0 failed in ")
    assert queue.number_of_items() == 1


def test_a_paused_queue_is_left_alone(shell: Shell, queue: BatchQueue) -> None:
    queue.enqueue(OK)
    queue.set_status("paused")

    result = shell.run("loop", "q", *ALLOW)

    assert result.returncode == 0
    assert result.stdout.endswith("1 item left (0 blocked): the queue is not active (paused).\n")


def test_without_an_allow_list_it_refuses(shell: Shell, queue: BatchQueue) -> None:
    queue.enqueue(OK)

    assert "nothing says which code may run" in refused(shell.run("loop", "q"))
    assert queue.statistics()["ready"] == 1


def test_a_signal_ends_it_in_good_order(shell: Shell, queue: BatchQueue) -> None:
    started = shell.fifo("started")
    queue.enqueue(f"{JOBS}:until_stopped", str(started))
    queue.enqueue(OK)
    process = shell.start("loop", "q", *ALLOW, "--grace", "600")
    assert started.read_text() == "started"

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (143, "")
    assert out.startswith("1 done, 0 failed in ")
    assert out.endswith("1 item left (0 blocked): stopped.\n")
