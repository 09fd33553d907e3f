"""``flask taskqueue ...``: the same commands on the queues of an application."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskqueue import BatchQueue, QueueService
from tests.cli.conftest import JOBS, Shell, refused
from tests.cli.visitor import Visitor

OK = f"{JOBS}:append"
FLASK = (str(Path(sys.executable).parent / "flask"),)
APP = f"""
from flask import Flask, current_app
from taskqueue import QueueService
from taskqueue.web import TaskQueue

app = Flask("shop")
app.secret_key = "only for tests"
app.config.update(TASKQUEUE_DATABASE_URL="sqlite:///taskqueue.db", TASKQUEUE_ALLOW=["app", "{JOBS}"])
TaskQueue(app)
without = Flask("plain")

twice = Flask("twice")
TaskQueue(twice, QueueService("sqlite:///one.db"), name="one", url_prefix="/one")
TaskQueue(twice, QueueService("sqlite:///taskqueue.db"), name="two", url_prefix="/two")

def inside(ctx):
    with open("journal", "a") as journal:
        journal.write(f"inside {{current_app.name}}\\n")
"""


class FlaskShell:
    """``flask --app APP taskqueue ARGS`` in the folder."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        (shell.folder / "app.py").write_text(APP)

    def start(self, *args: str, app: str = "app:app", env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Leave it running."""
        return self.shell.start("--app", app, "taskqueue", *args, program=FLASK, env=env)

    def __call__(self, *args: str, app: str = "app:app") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*args, app=app)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)


@pytest.fixture
def flask(shell: Shell) -> FlaskShell:
    """The commands of an application in the folder."""
    return FlaskShell(shell)


def journal(folder: Path) -> list[str]:
    """What was executed."""
    path = folder / "journal"
    return path.read_text().splitlines() if path.exists() else []


def test_list_shows_the_queues_of_the_application(flask: FlaskShell, service: QueueService) -> None:
    # given
    service.create("Sql", "a").create_items([1, 2])
    # when
    listed, facts = flask("list"), flask("list", "--json")
    # then
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[:4] for line in listed.stdout.splitlines()] == [
        ["name", "type", "status", "ready"], ["a", "Sql", "active", "2"]
    ]  # fmt: skip
    assert [queue["name"] for queue in json.loads(facts.stdout)] == ["a"]


def test_run_uses_the_allow_list_and_the_context_of_the_application(
    flask: FlaskShell, shell: Shell, queue: BatchQueue
) -> None:
    # given
    queue.enqueue(OK, "one")
    shell.run("add", "q", "app:inside")
    # when
    result = flask("run", "q")
    # then
    assert (result.returncode, result.stderr, journal(shell.folder)) == (0, "", ["one", "inside shop"])
    assert result.stdout.splitlines()[-1].startswith("Finished: 2 done")


def test_a_failure_is_exit_code_1_and_hints_name_this_command(flask: FlaskShell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(f"{JOBS}:bad")
    # when
    result = flask("run", "q")
    # then
    assert (result.returncode, result.stderr) == (1, "")
    assert "then 'flask taskqueue run q', or 'flask taskqueue skip q'" in result.stdout.splitlines()[-1]


def test_a_signal_ends_a_run_in_good_order(flask: FlaskShell, shell: Shell, queue: BatchQueue) -> None:
    # given
    started = shell.fifo("started")
    queue.enqueue(f"{JOBS}:until_stopped", str(started))
    queue.enqueue(OK, "never")
    process = flask.start("run", "q")
    assert started.read_text() == "started"
    # when
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    # then
    assert (process.returncode, err) == (143, "")
    assert "Stopped by SIGTERM: 1 done, 1 item left" in out
    assert queue.statistics()["leased"] == 0


@pytest.mark.parametrize(
    ("app", "args", "part"),
    [
        ("app:without", "list", "the Flask application 'plain' has no taskqueue: install it with"),
        ("app:without", "run q", "no taskqueue"),
        ("app:twice", "list", "one, two"),
        ("app:twice", "--name tow list", "did you mean 'two'?"),
        ("nonsense", "list", "nonsense"),
        ("broken", "list", "RuntimeError: two lines"),
        ("app:app", "show nonsense", "there is no queue 'nonsense'"),
        ("app:app", "run", "flask taskqueue run --help"),
        ("app:app", "nonsense", "nonsense"),
        ("app:app", "--nonsense list", "flask taskqueue --help"),
        ("app:app", "reset q", "--yes"),
        ("app:app", "run paused", "paused"),
        ("app:app", "web --host 0.0.0.0", "--expose"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_exit_code_2(
    app: str, args: str, part: str, flask: FlaskShell, shell: Shell, service: QueueService, queue: BatchQueue
) -> None:
    # given
    (shell.folder / "broken.py").write_text("raise RuntimeError('two\\nlines')")
    service.create("Sql", "paused", status="paused").create_items([1])
    queue.create_items([1])
    # when, then
    assert part in refused(flask(*args.split(), app=app))
    assert queue.number_of_items() == 1


def test_one_of_several_is_chosen_by_name(flask: FlaskShell, queue: BatchQueue) -> None:
    assert [each["name"] for each in json.loads(flask("--name", "two", "list", "--json", app="app:twice").stdout)] == [
        "q"
    ]


def test_help_needs_no_application_that_works(flask: FlaskShell, shell: Shell) -> None:
    # given
    (shell.folder / "broken.py").write_text("raise RuntimeError('broken')")
    # when
    result, alone = flask("run", "--help", app="broken"), flask(app="broken")
    # then
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: flask taskqueue run ")
    assert alone.stdout.startswith("Usage: flask taskqueue ")


def test_an_unexpected_error_is_one_line_unless_debugging(flask: FlaskShell, shell: Shell) -> None:
    # given
    (shell.folder / "odd.py").write_text(
        "from app import app\nfrom taskqueue import QueueService\nQueueService.queues = lambda self: 1 // 0\n"
    )
    shell.run("add", "q", OK, "--type", "Sql")
    # when
    result, debugged = flask("list", app="odd:app"), flask("--debug", "list", app="odd:app")
    # then
    assert (result.returncode, len(result.stderr.splitlines())) == (70, 1)
    assert "'flask taskqueue --debug ...'" in result.stderr
    assert "Traceback" in debugged.stderr


def test_queue_names_are_completed(flask: FlaskShell, service: QueueService) -> None:
    # given
    for name in ("import", "mails"):
        service.create("Sql", name)
    words = {
        "_FLASK_COMPLETE": "bash_complete", "COMP_WORDS": "flask --app app:app taskqueue show im", "COMP_CWORD": "5"
    }  # fmt: skip
    # when
    process = flask.shell.start(
        program=("-c", "from flask.cli import main, cli; cli.main(prog_name='flask')"), env=words
    )
    out, err = process.communicate(timeout=30)
    # then
    assert (out.splitlines(), err) == (["plain,import"], "")


@pytest.mark.parametrize("mode", ["auto", "inline"])
def test_the_pages_alone_run_tasks_in_the_context_of_the_application(
    mode: str, flask: FlaskShell, shell: Shell, queue: BatchQueue
) -> None:
    # given
    shell.run("add", "q", "app:inside")
    process = flask.start("web", "--json", "--mode", mode)
    assert process.stdout is not None
    link = json.loads(process.stdout.readline())["url"]
    visitor = Visitor(link)
    visitor.get(link)
    listed = visitor.get("/runs")
    # when
    begun = visitor.submit("/queue/q/run", csrf_token=listed.field("csrf_token"))
    answer = visitor.page(begun.location or "").drive()
    # then
    assert (answer.status, journal(shell.folder)) == (200, ["inside shop"])
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
