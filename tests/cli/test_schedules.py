"""``schedule``: schedules are set, listed, paused, run and removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskqueue import BatchQueue, QueueService, Task
from tests.cli.conftest import JOBS, Here, Shell, refused

OK = f"{JOBS}:ok"


def test_a_schedule_is_set_and_listed(here: Here, service: QueueService, queue: BatchQueue) -> None:
    # when
    added = here("schedule", "add", "nightly", "30 6 * * MON", "q", OK, "17", '"x"', "--timezone", "Asia/Tokyo",
                 "--title", "Digest", "--weight", "-2")  # fmt: skip
    text, facts = here("schedule", "list"), json.loads(here("schedule", "list", "--json").stdout)
    # then
    [schedule] = service.schedules()
    assert (
        added.stdout == f"Schedule 'nightly' is set: next at {schedule.next_time:%Y-%m-%d %H:%M:%S} UTC on queue 'q'.\n"
    )
    assert (schedule.data, schedule.weight) == (Task(OK, (17, "x"), "Digest"), -2)
    assert facts == [
        {"name": "nightly", "queue": "q", "cron": "30 6 * * MON", "timezone": "Asia/Tokyo", "title": "Digest",
         "weight": -2, "paused": False, "next_time": schedule.next_time.isoformat(), "last_time": None,
         "callback": OK, "args": [17, "x"], "kwargs": {}}
    ]  # fmt: skip
    assert text.stdout.splitlines() == [
        "name     queue  cron          time zone   next (UTC)           last (UTC)  title",
        f"nightly  q      30 6 * * MON  Asia/Tokyo  {schedule.next_time:%Y-%m-%d %H:%M:%S}  -           Digest",
    ]


def test_a_schedule_is_paused_resumed_run_and_removed(here: Here, service: QueueService, queue: BatchQueue) -> None:
    service.schedule("nightly", "0 0 * * *", Task(OK, title="Digest"), queue="q")
    assert here("schedule", "pause", "nightly").stdout == "Schedule 'nightly' is paused.\n"
    assert "  paused  " in here("schedule", "list").stdout
    assert json.loads(here("schedule", "list", "--json").stdout)[0]["next_time"] is None
    assert here("schedule", "run", "nightly").stdout == "Added item 1 'Digest' to queue 'q'.\n"
    assert here("schedule", "resume", "nightly").stdout.startswith("Schedule 'nightly' goes on: next at ")
    assert json.loads(here("schedule", "run", "nightly", "--json").stdout)["id"] == 2
    assert json.loads(here("schedule", "pause", "nightly", "--json").stdout)["paused"] is True
    assert here("schedule", "remove", "nightly").stdout == "Removed schedule 'nightly'.\n"
    assert here("schedule", "list").stdout == "There are no schedules.\n"
    assert here("schedule", "list", "--json").stdout == "[]\n"
    assert queue.number_of_items() == 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["add", "n", "* * * *", "q", OK], "'* * * *' is no cron expression"),
        (["add", "n", "0 0 * * *", "q", OK, "--timezone", "Mars"], "unknown time zone 'Mars'"),
        (["add", "n", "0 0 * * *", "p", OK], "there is no queue 'p'"),
        (["add", "n", "0 0 * * *", "q", OK, "text"], "argument 1 is no JSON"),
        (["add", "n", "0 0 * * *", "q", "nowhere:nothing"], "nowhere"),
        (["remove", "n"], "there is no schedule 'n'"),
        (["run", "n"], "there is no schedule 'n'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(here: Here, queue: BatchQueue, command: list[str], said: str) -> None:
    assert said in refused(here("schedule", *command))


def test_no_command_makes_a_database_file(here: Here, shell: Shell) -> None:
    for command in (["list"], ["run", "n"], ["remove", "n"], ["pause", "n"], ["resume", "n"]):
        here("schedule", *command)
    here("schedule", "add", "n", "0 0 * * *", "q", OK)
    assert list(Path(shell.folder).glob("*.db")) == []
