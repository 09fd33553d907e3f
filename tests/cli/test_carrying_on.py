"""``run`` carries on what a page has begun, and hears what is decided on the page meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner
from taskqueue.queues.sql_base import SqlBase, process
from taskqueue.runs.recorder import Recorder
from taskqueue.runs.state import RunState
from taskqueue.runs.store import Runs
from taskqueue.storage import presence
from taskqueue.web import TaskQueue
from tests.cli.conftest import JOBS, Shell, refused

OK = f"{JOBS}:append"
BAD = f"{JOBS}:bad"
END = f"{JOBS}:end"
ALLOW = ("--allow", JOBS)


class Web:
    """A Flask application on the same database, in this process; whoever visits it is an admin."""

    def __init__(self, shell: Shell) -> None:
        self.app = Flask("shop")
        self.app.secret_key = "only for tests"
        self.app.config.update(TASKQUEUE_MODE="inline", TASKQUEUE_BUDGET=0.0001)
        self.service = QueueService(shell.url, allow=[JOBS])
        TaskQueue(self.app, self.service, authorize=lambda action, run, item_id: True)
        self.client: FlaskClient = self.app.test_client()

    def begin(self, queue: BatchQueue, start: bool = True, **runner: Any) -> RunState:
        """A request that begins a run of the queue."""
        with self.app.test_request_context():
            answer = Runner(self.service.load(queue.name), **runner).run_all_via_web(start=start)
        return self.run(answer.location.rpartition("/")[2])

    def run(self, run_id: str) -> RunState:
        """How it stands."""
        return Runs(self.service.database, self.service.settings.codec).get(run_id)

    def runs(self, name: str) -> list[RunState]:
        """The runs of a queue, newest first."""
        return Runs(self.service.database, self.service.settings.codec).latest(queue_name=name)

    def status(self, run_id: str) -> str:
        """As the page shows it."""
        status: str = self.client.get(f"/queue/run/{run_id}/state").get_json()["run"]["status"]
        return status

    def press(self, run_id: str, verb: str) -> None:
        """A button of the page."""
        token = self.client.get("/queue/csrf").get_json()["csrf"]
        headers = {"X-CSRFToken": token, "X-Driver": "a" * 16}
        answer = self.client.post(f"/queue/run/{run_id}/{verb}", headers=headers, json={})
        assert answer.status_code == 200, answer.text


@pytest.fixture
def web(shell: Shell) -> Iterator[Web]:
    """The application."""
    made = Web(shell)
    yield made
    made.service.close()


def fill(queue: BatchQueue, *callbacks: str) -> None:
    """Items called 1, 2, 3 ..."""
    for number, callback in enumerate(callbacks, start=1):
        queue.enqueue(callback, str(number), title=f"task {number}")


def journal(shell: Shell) -> list[str]:
    """What was executed, in order."""
    path = shell.folder / "journal"
    return path.read_text().split() if path.exists() else []


def test_a_run_of_a_page_is_carried_on_with_its_title_error_mode_and_last_step(
    shell: Shell, queue: BatchQueue, web: Web
) -> None:
    # given
    fill(queue, OK, BAD, OK)
    run = web.begin(queue, title="Import", on_end=END, error_mode=ErrorMode.CONTINUE)
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.splitlines()[0] == "Carrying on the run 'Import', begun on its page: 0 of 3 done"
    assert result.stdout.splitlines()[-1].startswith("Finished: 2 done, 1 failed in ")
    assert journal(shell) == ["1", "3", "end"]
    after = web.run(run.id)
    assert (after.status, after.done, after.failed, after.owner) == ("completed", 2, 1, run.owner)
    # when
    again = shell.run("run", "q", *ALLOW)
    # then
    assert (again.returncode, "Carrying on" in again.stdout, journal(shell)) == (0, False, ["1", "3", "end"])
    assert [each.title for each in web.runs("q")] == ["Queue q", "Import"]


def test_what_the_page_has_done_already_is_not_done_again(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, f"{JOBS}:ok", f"{JOBS}:ok", OK)
    run = web.begin(queue, title="Import", on_end=END)
    web.press(run.id, "drive")  # hardly any time: one item, perhaps two
    done = web.run(run.id).done
    assert done in (1, 2)
    # when: the page still counts as driving, and does not come back
    assert web.run(run.id).is_driven
    result = shell.run("run", "q", *ALLOW)
    # then
    assert result.stdout.splitlines()[0] == f"Carrying on the run 'Import', begun on its page: {done} of 3 done"
    assert (result.returncode, journal(shell)) == (0, ["3", "end"])
    after = web.run(run.id)
    assert (after.status, after.done, after.total) == ("completed", 3, 3)


def test_an_error_mode_on_the_command_line_goes_before_that_of_the_run(
    shell: Shell, queue: BatchQueue, web: Web
) -> None:
    # given
    fill(queue, BAD, OK)
    run = web.begin(queue, title="Import", on_end=END, error_mode=ErrorMode.CONTINUE)
    # when
    result = shell.run("run", "q", *ALLOW, "--error-mode", "abort")
    # then
    assert (result.returncode, journal(shell), queue.number_of_items()) == (1, [], 2)
    assert web.status(run.id) == "blocked"
    # when: it goes on as it was asked for in the beginning
    assert shell.run("run", "q", *ALLOW).returncode == 1
    # then
    assert (web.run(run.id).status, journal(shell)) == ("completed", ["2", "end"])


def test_a_run_that_waits_for_its_start_is_started(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    run = web.begin(queue, start=False, title="Import", on_end=END)
    assert (run.status, run.start_time) == ("ready", 0)
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    after = web.run(run.id)
    assert (result.returncode, after.status, after.start_time > 0) == (0, "completed", True)
    assert journal(shell) == ["1", "end"]


def test_the_newest_of_several_is_carried_on(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    older, newer = (web.begin(queue, title=title) for title in ("older", "newer"))
    _set_create_time(web, older.id, newer.create_time - 1000)
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert "Carrying on the run 'newer'" in result.stdout
    assert (web.run(older.id).status, web.run(newer.id).status) == ("running", "completed")


def test_new_begins_a_run_of_its_own(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    run = web.begin(queue, title="Import", on_end=END)
    # when
    result = shell.run("run", "q", *ALLOW, "--new")
    # then
    assert (result.returncode, "Carrying on" in result.stdout, journal(shell)) == (0, False, ["1"])
    assert [(each.title, each.status) for each in web.runs("q")] == [("Queue q", "completed"), ("Import", "running")]
    assert web.run(run.id).version == run.version


def test_new_leaves_an_interrupted_run_of_the_terminal_alone_too(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, BAD)
    assert [shell.run("run", "q", *ALLOW).returncode for _time in range(2)] == [1, 1]
    assert len(web.runs("q")) == 1
    # when
    shell.run("run", "q", *ALLOW, "--new")
    # then
    assert len(web.runs("q")) == 2


def test_a_run_that_was_aborted_on_its_page_is_not_carried_on(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    run = web.begin(queue, title="Import", on_end=END)
    web.press(run.id, "abort")
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, "Carrying on" in result.stdout, journal(shell)) == (0, False, ["1"])
    assert web.run(run.id).status == "aborted"


def test_a_paused_queue_is_refused_and_its_run_left_as_it_is(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    run = web.begin(queue, title="Import", on_end=END)
    web.press(run.id, "pause")
    version = web.run(run.id).version
    # when, then
    assert "paused" in refused(shell.run("run", "q", *ALLOW))
    assert (web.status(run.id), web.run(run.id).version, journal(shell)) == ("paused", version, [])


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_last_step_goes_again_only_when_nobody_alive_carries_it_out(
    is_alive: bool, shell: Shell, queue: BatchQueue, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a process that began the last step
    run = web.begin(queue, title="Import", on_end=END)
    mine = web.service.load("q")
    assert isinstance(mine, SqlBase)
    monkeypatch.setattr(process, "token", "e" * len(process.token))
    recorder = Recorder(Runs.of(mine), mine, run.id, driver="a page", label="", lasting=0)
    recorder.take()
    assert recorder.begin_end()
    if is_alive:
        mine.database.transaction(lambda tx: presence.beat(tx, process.token, "a page", 3000))
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, journal(shell)) == (0, [] if is_alive else ["end"])
    assert web.run(run.id).status == ("finishing" if is_alive else "completed")
    assert ("its last step goes again" in result.stdout) is not is_alive


def test_a_failing_last_step_leaves_the_run_open(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK)
    run = web.begin(queue, title="Import", on_end=BAD)
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, "ValueError" in result.stdout, web.status(run.id)) == (1, True, "blocked")


def test_a_run_that_somebody_else_has_written_is_not_carried_on(shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given: a database that was written to by hand
    fill(queue, OK)
    run = web.begin(queue, title="Import")
    web.service.database.transaction(
        lambda tx: tx.change("UPDATE {run} SET definition = :text WHERE id = :id", text="{}", id=run.id)
    )
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, "Carrying on" in result.stdout, journal(shell)) == (0, False, ["1"])
    assert web.run(run.id).version == run.version


def test_a_pause_on_the_page_stops_the_terminal_after_the_item_in_hand(
    shell: Shell, queue: BatchQueue, web: Web
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate))
    fill(queue, OK, OK)
    process = shell.start("run", "q", *ALLOW)
    assert started.read_text() == "started"
    run = web.runs("q")[0]
    # when
    web.press(run.id, "pause")
    gate.write_text("go on")
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err, journal(shell)) == (1, "", [])
    assert "Stopped by somebody else: 1 done, 2 items left in" in out
    assert "queue 'q' is paused" in out
    assert (web.status(run.id), queue.statistics()["leased"]) == ("paused", 0)
    # when
    web.press(run.id, "resume")
    # then
    assert (shell.run("run", "q", *ALLOW).returncode, journal(shell)) == (0, ["1", "2"])
    assert [(each.id, each.status) for each in web.runs("q")] == [(run.id, "completed")]


def test_an_abort_on_the_page_is_heard_by_the_task_in_hand_and_stops_the_terminal(
    shell: Shell, queue: BatchQueue, web: Web
) -> None:
    # given
    started = shell.fifo("started")
    queue.enqueue(f"{JOBS}:until_stopped", str(started))
    fill(queue, OK)
    run = web.begin(queue, title="Import", on_end=END)
    process = shell.start("run", "q", *ALLOW, "--json")
    assert started.read_text() == "started"
    # when
    web.press(run.id, "abort")
    out, err = process.communicate(timeout=30)
    # then
    facts = json.loads(out)
    assert (process.returncode, err, journal(shell)) == (1, "", [])
    assert (facts["is_error"], facts["completed"], facts["number_of_items"]) == (True, 1, 1)
    assert (facts["stopped_by"], facts["run"]) == (None, run.id)
    assert (web.run(run.id).status, web.run(run.id).done, queue.status) == ("aborted", 1, "aborted")
    assert queue.statistics()["leased"] == 0


@pytest.mark.parametrize("url", ["https://shop.example/queue", "https://shop.example/queue/"])
def test_the_address_of_the_page_is_told_where_pages_are(url: str, shell: Shell, queue: BatchQueue, web: Web) -> None:
    # given
    fill(queue, OK, OK)
    env = {"TASKQUEUE_WEB_URL": url}
    # when
    text, facts = shell.run("run", "q", *ALLOW, env=env), shell.run("run", "q", *ALLOW, "--json", env=env)
    quiet, without = shell.run("run", "q", *ALLOW, "--quiet", env=env), shell.run("run", "q", *ALLOW)
    # then
    ids = [run.id for run in reversed(web.runs("q"))]
    assert text.stdout.splitlines()[-1] == f"Its page: https://shop.example/queue/run/{ids[0]}"
    assert json.loads(facts.stdout)["url"] == f"https://shop.example/queue/run/{ids[1]}"
    assert (quiet.stdout, "page" in without.stdout) == ("", False)


def test_queues_without_runs(shell: Shell) -> None:
    # given
    (shell.folder / "app.py").write_text(
        "from taskqueue import QueueService\n"
        "service = QueueService(allow=['app'])\n"
        "def f(ctx): pass\n"
        "service.create('Memory', 'm').enqueue(f)\n"
        "if __import__('os').environ.get('WITH_SQL'): service.create('Sql', 'u', is_persistent=False).enqueue(f)\n"
    )
    app, env = ("--app", "app:service"), {"TASKQUEUE_WEB_URL": "http://x", "WITH_SQL": "1"}
    # when
    memory = shell.run(*app, "run", "m", "--json", env={"TASKQUEUE_WEB_URL": "http://x"})
    # then
    facts = json.loads(memory.stdout)
    assert (memory.returncode, facts["completed"], facts["run"], facts["url"]) == (0, 1, None, None)
    assert shell.run(*app, "runs", "m").stdout == "Queue 'm' has no runs.\n"
    assert not (shell.folder / "taskqueue.db").exists()
    # when
    unregistered = json.loads(shell.run(*app, "run", "u", "--json", env=env).stdout)
    # then
    assert (unregistered["completed"], unregistered["run"]) == (1, None)
    assert json.loads(shell.run(*app, "runs", "--json", env=env).stdout) == []


def _set_create_time(web: Web, run_id: str, moment: int) -> None:
    web.service.database.transaction(
        lambda tx: tx.change("UPDATE {run} SET create_time = :moment WHERE id = :id", moment=moment, id=run_id)
    )
