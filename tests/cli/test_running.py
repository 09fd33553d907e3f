"""``run`` and ``retry``: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from taskqueue import BatchQueue, Progress, QueueService, Task
from taskqueue.cli.progress import Lines
from tests.cli.conftest import JOBS, Shell, refused
from tests.cli.jobs import HOSTILE
from tests.servers import SERVER_DATABASES

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"
ALLOW = ("--allow", JOBS)
FACTS = {
    "queue", "is_error", "is_continue", "number_of_items", "last_task_title", "exception", "completed", "failed",
    "skipped", "elapsed", "redirect_url", "is_drained", "stopped_by",
}  # fmt: skip


def test_a_queue_is_drained_with_a_line_at_the_start_and_one_at_the_end(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.create_items(Task(OK) for _item in range(500))
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr, queue.statistics()["total"]) == (0, "", 0)
    assert lines[0] == "Running queue 'q': 500 items"
    assert lines[-1].startswith("Finished: 500 done in ")
    assert 2 < len(lines) <= 2 + 10 + float(lines[-1].split()[-2]) / 2


@pytest.mark.parametrize(
    ("options", "code", "left", "dead"),
    [
        (["--error-mode", "abort"], 1, 2, 0),
        (["--error-mode", "continue"], 1, 0, 0),
        ([], 1, 2, 0),
    ],
)
def test_a_failure_ends_with_code_1(
    options: list[str], code: int, left: int, dead: int, shell: Shell, queue: BatchQueue
) -> None:
    # given
    for callback in (OK, BAD, OK):
        queue.enqueue(callback, title=callback)
    # when
    result = shell.run("run", "q", *ALLOW, *options)
    # then
    assert (result.returncode, result.stderr) == (code, "")
    assert (queue.statistics()["total"], queue.statistics()["dead"]) == (left, dead)
    failures = [line for line in result.stdout.splitlines() if line.startswith("failed")]
    assert len(failures) == 1
    assert failures[0].endswith(f"{BAD}: ValueError: boom")
    assert ("Stopped by a failure" in result.stdout) is (left > 0)


def test_a_failure_that_becomes_a_dead_letter_counts_too(shell: Shell, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", error="dead", retry_limit=1)
    queue.enqueue(BAD)
    # when
    result = shell.run("run", "q", *ALLOW)
    # then
    assert (result.returncode, queue.statistics()["dead"]) == (1, 1)
    assert [line.partition(":")[0] for line in result.stdout.splitlines() if line.startswith("failed")] == [
        "failed, will be tried again",
        "failed, kept as a dead letter",
    ]


@pytest.mark.parametrize("error_mode", ["abort", "continue"])
def test_json_is_one_object_with_the_facts_of_the_result(error_mode: str, shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(f"{JOBS}:chatty")
    queue.enqueue(BAD, "first\nsecond", title="a title")
    # when
    result = shell.run("run", "q", *ALLOW, "--json", "--error-mode", error_mode)
    # then
    facts = json.loads(result.stdout)
    assert result.returncode == 1
    assert facts.keys() == FACTS | {"run", "url"}
    assert (facts["completed"], facts["failed"], facts["last_task_title"]) == (1, 1, "a title")
    assert facts["exception"] == "ValueError: first\nsecond"
    assert (facts["is_error"], facts["is_drained"]) == ((True, False) if error_mode == "abort" else (False, True))
    assert {"printed by a task", "printed by a program"} <= set(result.stderr.splitlines())


def test_quiet_shows_failures_only(shell: Shell, queue: BatchQueue) -> None:
    # given
    for callback in (OK, BAD, OK):
        queue.enqueue(callback, title=callback)
    # when
    result = shell.run("run", "q", *ALLOW, "--quiet", "--error-mode", "continue")
    # then
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"failed, removed: {BAD}: ValueError: boom\n"


def test_hostile_titles_and_errors_are_escaped(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(f"{JOBS}:hostile", title=HOSTILE)
    # when
    outputs = [shell.run("run", "q", *ALLOW, *option) for option in ([], ["--quiet"], ["--json"])]
    # then
    for output in outputs:
        text = output.stdout + output.stderr
        assert "[red]evil[/red]" in text
        assert all(char == "\n" or char.isprintable() for char in text)


def test_waiting_ends_after_the_time_given(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    queue.claim_item()
    # when
    at_once, later = (shell.run("run", "q", *ALLOW, "--wait", seconds) for seconds in ("0", "0.2"))
    # then
    assert (at_once.returncode, later.returncode) == (1, 1)
    assert re.search("^waiting: item held by somebody else, up to (1:00:00|59:..)$", later.stdout, re.MULTILINE)
    assert "Waited long enough: 0 done, 1 item left" in at_once.stdout
    assert queue.statistics()["leased"] == 1


def test_an_aborted_queue_is_resumed_by_run(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    queue.set_status("aborted")
    # when, then
    assert shell.run("run", "q", *ALLOW).returncode == 0
    assert queue.status == "active"


@pytest.mark.parametrize("command", ["run", "retry"])
def test_without_an_allow_list_nothing_is_touched(command: str, shell: Shell, queue: BatchQueue) -> None:
    # given
    item = queue.enqueue(OK)
    # when
    result = shell.run(command, "q")
    # then
    assert "--allow" in refused(result)
    assert queue.fetch_item(item.id) == item


def test_without_an_allow_list_an_empty_queue_runs(shell: Shell, queue: BatchQueue) -> None:
    assert shell.run("run", "q").returncode == 0


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--app", f"{JOBS}:service", "run", "q"], {}),
        (["run", "q"], {"TASKQUEUE_ALLOW": JOBS}),
        (["run", "q", "--allow", "no_such_module", "--allow", "tests"], {}),
        (["--app", f"{JOBS}:without_list", "run", "q", *ALLOW], {}),
        (["--app", f"{JOBS}:service", "run", "q", "--allow", "something.else"], {}),
        (["run", "q", "--allow", "something.else"], {"TASKQUEUE_ALLOW": JOBS}),
    ],
)
def test_each_way_to_allow_callbacks(args: list[str], env: dict[str, str], shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    # when
    result = shell.run(*args, env=env)
    # then
    assert (result.returncode, queue.statistics()["total"]) == (0, 0)


def test_what_is_not_allowed_becomes_a_dead_letter(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    # when
    result = shell.run("run", "q", "--allow", "something.else")
    # then
    assert (result.returncode, queue.statistics()["dead"]) == (1, 1)


def test_modules_beside_the_user_and_the_default_service_of_tasks(shell: Shell) -> None:
    # given
    (shell.folder / "beside.py").write_text(
        "from pathlib import Path\n"
        "from taskqueue import QueueService\n"
        "def f(ctx): Path('seen').write_text(','.join(queue.name for queue in QueueService.default().queues()))\n"
    )
    other = ("--database", "sqlite:///other.db")
    shell.run(*other, "add", "elsewhere", "beside:f", "--type", "Sql")
    # when
    result = shell.run(*other, "run", "elsewhere", "--allow", "beside")
    # then
    assert (result.returncode, (shell.folder / "seen").read_text()) == (0, "elsewhere")
    assert not (shell.folder / "taskqueue.db").exists()


def test_a_memory_queue_of_an_app_runs_without_a_database(shell: Shell) -> None:
    # given
    (shell.folder / "app.py").write_text(
        "from taskqueue import QueueService\n"
        "service = QueueService()\n"
        "def f(ctx): pass\n"
        "service.create('Memory', 'm').enqueue(f)\n"
    )
    # when
    listed = shell.run("--app", "app:service", "list", "--json")
    result = shell.run("--app", "app:service", "run", "m", "--allow", "app")
    # then
    assert [queue["name"] for queue in json.loads(listed.stdout)] == ["m"]
    assert (result.returncode, (shell.folder / "taskqueue.db").exists()) == (0, False)


def test_a_queue_with_a_handler_of_the_app_needs_no_allow_list(shell: Shell) -> None:
    # given
    (shell.folder / "app.py").write_text(
        "from pathlib import Path\n"
        "from taskqueue import QueueService\n"
        "service = QueueService()\n"
        "@service.handler('note')\n"
        "def note(ctx, data): Path('note').write_text(data)\n"
    )
    writer = QueueService(shell.url)
    writer.create("Sql", "notes", payload="note").create_item("noted")
    writer.close()
    # when
    without, with_app = shell.run("run", "notes"), shell.run("--app", "app:service", "run", "notes")
    # then
    assert "handler" in refused(without)
    assert (with_app.returncode, (shell.folder / "note").read_text()) == (0, "noted")


def test_a_run_goes_on_when_nobody_reads_its_output(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.create_items(Task(OK) for _item in range(200))
    reading, writing = os.pipe()
    os.close(reading)
    # when
    process = shell.start("run", "q", *ALLOW, stdout=writing)
    os.close(writing)
    _out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err, queue.number_of_items()) == (0, "", 0)


def test_a_run_goes_on_when_the_disk_of_its_output_is_full(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.create_items(Task(OK) for _item in range(200))
    # when
    with Path("/dev/full").open("w") as full:
        process = shell.start("run", "q", *ALLOW, stdout=full)
        process.communicate(timeout=30)
    # then
    assert (process.returncode, queue.number_of_items()) == (0, 0)


@pytest.mark.parametrize("command", ["run", "retry"])
def test_a_database_error_in_the_middle_of_a_run_is_one_line(command: str, shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(f"{JOBS}:lose_tables", str(shell.folder / "taskqueue.db"))
    # when
    result = shell.run(command, "q", *ALLOW, "--json")
    # then
    assert result.returncode == 2
    assert result.stderr.startswith("Error: the tables in sqlite:///taskqueue.db do not fit this release")
    assert len(result.stderr.splitlines()) == 1
    if command == "retry":
        assert result.stdout == ""
    else:
        facts = json.loads(result.stdout)
        assert (facts["is_error"], facts["is_drained"], "tables" in facts["exception"]) == (True, False, True)


def test_retry_runs_the_head_alone(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(f"{JOBS}:write", str(shell.folder / "no folder" / "file"), title="the head")
    queue.enqueue(OK)
    assert shell.run("run", "q", *ALLOW).returncode == 1
    assert queue.status == "aborted"
    # when
    failed = shell.run("retry", "q", *ALLOW)
    (shell.folder / "no folder").mkdir()
    done = shell.run("retry", "q", *ALLOW)
    # then
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("failed, kept in its place: the head: FileNotFoundError")
    assert (done.returncode, done.stdout) == (0, "Done: the head; queue 'q' has 1 item left.\n")
    assert (queue.status, queue.number_of_items()) == ("active", 1)


@pytest.mark.parametrize(
    ("callback", "options", "code", "outcome"),
    [(OK, {}, 0, "ok"), (BAD, {}, 1, "abort"), (BAD, {"error": "delete"}, 1, "delete"),
     (BAD, {"error": "dead"}, 1, "dead"), (BAD, {"retry_limit": 3}, 1, "retry")],
)  # fmt: skip
def test_retry_tells_the_outcome(
    callback: str, options: dict[str, object], code: int, outcome: str, shell: Shell, service: QueueService
) -> None:
    # given
    service.create("Sql", "q", **options).enqueue(callback)
    # when
    result = shell.run("retry", "q", *ALLOW, "--json")
    # then
    facts = json.loads(result.stdout)
    assert (result.returncode, facts["outcome"], facts.keys()) == (code, outcome, FACTS | {"outcome"})


def test_retry_of_an_item_in_other_hands_is_refused(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    queue.claim_item()
    # when, then
    assert "somebody else holds it" in refused(shell.run("retry", "q", *ALLOW))
    assert "somebody else holds it" in refused(shell.run("retry", "q", *ALLOW, "--json"))


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
def test_list_and_run_on_a_database_server(database_url: str, shell: Shell) -> None:
    # given
    assert shell.run("--database", database_url, "add", "q", OK, "--type", "SqlParallel").returncode == 0
    env = {"TASKQUEUE_DATABASE_URL": database_url}
    # when
    listed = shell.run("list", "--json", env=env)
    result = shell.run("run", "q", *ALLOW, "--json", env=env)
    after = shell.run("--database", database_url, "list", "--json")
    # then
    assert [(queue["name"], queue["ready"]) for queue in json.loads(listed.stdout)] == [("q", 1)]
    assert (result.returncode, result.stderr, json.loads(result.stdout)["completed"]) == (0, "", 1)
    assert [(queue["name"], queue["total"]) for queue in json.loads(after.stdout)] == [("q", 0)]
    assert list(shell.folder.iterdir()) == []


def test_plain_lines_come_with_each_tenth_or_each_two_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    moment = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: moment)
    lines = Lines("q")
    # when
    for completed in range(1, 1001):
        moment += 0.01
        lines.watch(Progress("title", completed, 0, 1000 - completed))
    quick = capsys.readouterr().out.splitlines()
    for completed in range(1, 50):
        moment += 0.5
        lines.watch(Progress("slow", 1000 + completed, 0, 10**6))
    slow = capsys.readouterr().out.splitlines()
    # then
    assert len(quick) == 10
    assert len(slow) == 12
