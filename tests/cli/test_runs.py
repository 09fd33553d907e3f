"""``runs`` tells what was, and is being, run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from tests.cli.conftest import JOBS, Here, Shell
from tests.cli.jobs import HOSTILE

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"


def begin(queue: BatchQueue, title: str, *, owner: str = "user:ann", start: bool = True) -> str:
    """A run that a page has begun; its id."""
    assert isinstance(queue, SqlBase)
    return Runs.of(queue).create(queue, Definition(title=title), owner=owner, start=start).id


def test_runs_are_listed_with_their_status_and_progress(here: Here, service: QueueService) -> None:
    # given
    done, failing, stopped, other = (service.create("Sql", name) for name in ("done", "failing", "stopped", "other"))
    for queue, callbacks in ((done, [OK, OK]), (failing, [BAD, OK]), (stopped, [OK, BAD, OK]), (other, [OK])):
        for callback in callbacks:
            queue.enqueue(callback)
    ids = []
    for queue, mode in ((done, None), (failing, ErrorMode.CONTINUE), (stopped, None)):
        runner = Runner(queue, title=f"Run of {queue.name}", error_mode=mode)
        runner.run_all()
        ids.append(runner.run_id)
    ids += [begin(other, "held back"), begin(other, "not yet", start=False)]
    _apart(service, ids)
    other.set_status("paused")
    # when
    text, facts = here("runs"), json.loads(here("runs", "--json").stdout)
    # then
    assert [(run["id"], run["title"], run["queue"], run["status"], run["percent"]) for run in facts] == [
        (ids[4], "not yet", "other", "ready", 0),
        (ids[3], "held back", "other", "paused", 0),
        (ids[2], "Run of stopped", "stopped", "blocked", 33),
        (ids[1], "Run of failing", "failing", "completed", 100),
        (ids[0], "Run of done", "done", "completed", 100),
    ]
    assert [(run["total"], run["done"], run["skipped"], run["failed"]) for run in facts] == [
        (1, 0, 0, 0), (1, 0, 0, 0), (3, 1, 0, 0), (2, 1, 0, 1), (2, 2, 0, 0),
    ]  # fmt: skip
    assert facts[0]["started"] is None
    assert [run["ended"] is None for run in facts] == [True, True, True, False, False]
    started = datetime.fromisoformat(facts[4]["started"])
    assert timedelta(0) <= datetime.now(timezone.utc) - started < timedelta(minutes=5)
    lines = [line.split() for line in text.stdout.splitlines()]
    assert lines[0] == ["id", "title", "queue", "status", "progress", "started", "(UTC)"]
    assert lines[1] == [ids[4], "not", "yet", "other", "ready", "0/1", "(0", "%)", "-"]
    assert lines[4][5:10] == ["completed", "2/2", "(100", "%),", "1"]


def test_runs_of_one_queue_up_to_a_limit(here: Here, service: QueueService, queue: BatchQueue) -> None:
    # given
    other = service.create("Sql", "other")
    ids = [begin(each, title) for each, title in ((queue, "a"), (other, "b"), (queue, "c"), (queue, "d"))]
    _apart(service, ids)
    # when
    of_one, limited = here("runs", "q", "--json"), here("runs", "--limit", "2", "--json")
    # then
    assert [run["id"] for run in json.loads(of_one.stdout)] == [ids[3], ids[2], ids[0]]
    assert [run["id"] for run in json.loads(limited.stdout)] == [ids[3], ids[2]]


def test_a_background_run_shows_the_failures_that_its_workers_had(here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "served", agent="server", error="delete")
    for callback in (BAD, OK, OK):
        queue.enqueue(callback)
    Runner(queue, title="Import").run_all_via_background()
    Runner(queue).run_next()  # whoever it is
    # when
    text, (facts,) = here("runs"), json.loads(here("runs", "--json").stdout)
    # then
    assert "0/3" not in text.stdout
    assert "1/3 (33 %), 1 failed, by workers" in text.stdout
    assert (facts["background"], facts["failed"], facts["status"]) == (True, 1, "running")


def test_a_run_whose_last_step_is_carried_out_is_finishing(here: Here, queue: BatchQueue) -> None:
    # given
    assert isinstance(queue, SqlBase)
    recorder = Recorder(Runs.of(queue), queue, begin(queue, "Import"), driver="a page", label="", lasting=10)
    recorder.take()
    recorder.begin_end()
    # when, then
    assert [run["status"] for run in json.loads(here("runs", "--json").stdout)] == ["finishing"]


def test_a_queue_that_was_removed_leaves_its_runs_behind(here: Here, service: QueueService, queue: BatchQueue) -> None:
    # given
    begin(queue, "Import")
    service.delete("q")
    # when
    facts = json.loads(here("runs", "--json").stdout)
    # then
    assert [(run["title"], run["status"]) for run in facts] == [("Import", "aborted")]


def test_without_runs_it_says_so(here: Here, shell: Shell, service: QueueService) -> None:
    # when: there is no database file
    text, facts = here("runs"), here("runs", "--json")
    # then
    assert (text.stdout, json.loads(facts.stdout), list(shell.folder.iterdir())) == ("There are no runs.\n", [], [])
    # when
    service.create("Sql", "q")
    # then
    assert here("runs").stdout == "There are no runs.\n"
    assert here("runs", "q").stdout == "Queue 'q' has no runs.\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_hostile_titles_cannot_reach_the_terminal(options: list[str], here: Here, queue: BatchQueue) -> None:
    # given
    begin(queue, HOSTILE)
    # when
    result = here("runs", *options)
    # then
    assert (result.exit_code, "[red]evil[/red]" in result.stdout) == (0, True)
    assert all(char == "\n" or char.isprintable() for char in result.stdout)


def _apart(service: QueueService, ids: list[str]) -> None:
    """Let runs be begun one after the other, whatever the clock says."""
    for number, run_id in enumerate(ids):
        service.database.transaction(
            lambda tx, number=number, run_id=run_id: tx.change(
                "UPDATE {run} SET create_time = create_time - 100000 + :number WHERE id = :id", number=number, id=run_id
            )
        )
