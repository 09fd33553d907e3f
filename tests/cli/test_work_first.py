"""``taskqueue work`` where there is no database file yet, as when web server and worker are deployed together."""

from __future__ import annotations

import signal

import pytest

from taskqueue import QueueService
from taskqueue.operations import Operations
from tests.cli.calling import declare
from tests.cli.conftest import Shell, refused
from tests.cli.test_in_flask import FlaskShell

APP = ("--app", "tests.cli.calling:service")


def test_a_worker_of_an_application_waits_for_its_first_item(shell: Shell) -> None:
    worker = shell.start(*APP, "work")
    assert worker.stderr is not None
    assert worker.stderr.readline().startswith("Serving all queues")

    service = QueueService(shell.url)
    ops = declare(Operations(service))
    call = ops.wait(ops.defer("print").id, 30)

    worker.send_signal(signal.SIGTERM)
    assert worker.communicate(timeout=30)[1].splitlines()[-1] == "Ended (stopped) after 1 item."
    assert (call.state, worker.returncode) == ("succeeded", 0)
    service.close()


@pytest.mark.parametrize("end", ["--drain", "--once"])
def test_where_nothing_is_yet_nothing_is_left(shell: Shell, end: str) -> None:
    told = shell.run(*APP, "work", end)
    assert (told.returncode, told.stdout) == (0, ""), told.stderr


def test_in_flask_the_application_says_which_database(shell: Shell) -> None:
    told = FlaskShell(shell)("work", "--drain")
    assert (told.returncode, told.stdout) == (0, ""), told.stderr


@pytest.mark.parametrize("given", [(), ("--database", "sqlite:///mistyped.db")])
def test_a_database_of_the_command_line_must_be_there(shell: Shell, given: tuple[str, ...]) -> None:
    assert "there is no database file" in refused(shell.run(*given, "work", "--drain"))
    assert list(shell.folder.iterdir()) == []
