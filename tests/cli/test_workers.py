"""``taskqueue workers``: who is there, and what they have in hand, whatever stands in the database."""

from __future__ import annotations

import json
import os
import signal

import pytest

from taskqueue import BatchQueue, QueueService, Task
from taskqueue.worker import roster
from tests.cli.conftest import JOBS, Here, Shell, children
from tests.cli.working import at_work


def test_workers_lists_who_is_there_and_what_they_have_in_hand(shell: Shell, here: Here, queue: BatchQueue) -> None:
    # given
    assert "no workers" in here("workers").stdout
    assert json.loads(here("workers", "--json").stdout) == []
    process = at_work(shell, queue, "until_stopped")
    # when
    (info,) = json.loads(here("workers", "--json").stdout)
    table = here("workers").stdout
    # then
    (child,) = children(process)
    assert (info["pid"], info["queues"], info["threads"], info["state"]) == (child, ["q"], 1, "serving")
    assert "the blocker" in [item["title"] for item in info["items"]]
    assert str(child) in table and "the blocker" in table and "serving" in table
    # and when it is killed, with its parent
    process.kill()
    os.kill(child, signal.SIGKILL)
    service = QueueService(shell.url)
    service.database.statement(lambda tx: tx.change("UPDATE {holder} SET beat_time = beat_time - 30000"))
    service.close()
    # then
    assert json.loads(here("workers", "--json").stdout)[0]["state"] == "silent"


@pytest.mark.parametrize(
    "facts",
    ["", "[]", "7", '{"pid": "x", "threads": null, "queues": 5, "host": 7, "state": []}',
     '{"queues": ["no-such", "../..", "\\u001b[31m", 7, null]}', '{"host": "\\u001b]0;x\\u0007\\u202e"}', "{"],
)  # fmt: skip
def test_damaged_facts_of_a_worker_neither_break_nor_fool_the_list(facts: str, here: Here, queue: BatchQueue) -> None:
    # given
    database = queue.database  # type: ignore[attr-defined]
    database.statement(
        lambda tx: tx.change(
            "INSERT INTO {holder} (token, label, start_time, beat_time, beat_period, worker) "
            "VALUES ('0123456789abcdef', 'x', {now}, {now}, 3000, :facts)", facts=facts,
        )
    )  # fmt: skip
    # when
    results = here("workers"), here("workers", "--json")
    # then
    for result in results:
        assert result.exit_code == 0, result.stderr or result.exception
        assert all(char.isprintable() or char == "\n" for char in result.stdout)


def test_hostile_titles_are_printed_harmlessly(here: Here, queue: BatchQueue) -> None:
    # given
    queue.create_item(Task(f"{JOBS}:ok", (), "\x1b[2J\u202eevil\nline\x9b"))
    service = QueueService(queue.database.url)  # type: ignore[attr-defined]
    roster.sign_of_life(service, ["q"], 1, "serving")
    assert queue.claim_item() is not None
    # when
    result = here("workers")
    service.close()
    # then
    assert "evil" in result.stdout
    assert all(char.isprintable() or char == "\n" for char in result.stdout)
