"""What the first use of a database warns of is seen on stderr, whichever command it is."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from taskqueue import QueueService, Task
from tests.cli.conftest import Shell

#: An application whose own Engine does not sync at each commit.
_APP = """
from sqlalchemy import create_engine, event
from taskqueue import QueueService

engine = create_engine("sqlite:///own.db")
event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous = NORMAL").close())
service = QueueService(engine, allow=["tests.cli.jobs"])
"""
_WARNING = "synchronous: NORMAL: the last commits are lost in a power cut; set it to FULL"


@pytest.fixture
def careless(shell: Shell) -> Shell:
    """A folder with that application, whose queue "q" has one item."""
    (shell.folder / "careless.py").write_text(_APP)
    with closing(QueueService(f"sqlite:///{shell.folder}/own.db")) as service:
        service.create("SqlParallel", "q", agent="server", error="dead").create_item(Task("tests.cli.jobs:ok"))
    return shell


@pytest.mark.parametrize(
    "command",
    [
        ("list", "--json"),
        ("run", "q", "--json"),
        ("loop", "q", "--json"),
        ("work", "--drain", "--json"),
        ("work", "--drain", "--json", "--processes", "2"),
        ("workers", "--json"),
        ("dead", "list", "q", "--json"),
    ],
    ids=" ".join,
)
def test_given_a_database_that_does_not_sync_then_each_command_says_so_once_on_stderr(
    careless: Shell, command: tuple[str, ...]
) -> None:
    done = careless.run("--app", "careless:service", *command)

    assert (done.returncode, done.stderr.count(_WARNING)) == (0, 1), done.stderr
    json.loads(done.stdout)


def test_given_an_application_that_looks_at_its_database_when_it_is_imported_then_it_is_said_as_well(
    careless: Shell,
) -> None:
    (careless.folder / "eager.py").write_text(f"{_APP}service.queues()\n")

    done = careless.run("--app", "eager:service", "list", "--json")

    assert (done.returncode, done.stderr.count(_WARNING)) == (0, 1), done.stderr


def test_given_a_log_for_programs_then_the_warning_is_a_line_of_it(careless: Shell) -> None:
    done = careless.run("--app", "careless:service", "work", "--drain", "--log-format", "json")

    (line,) = (line for line in done.stderr.splitlines() if _WARNING in line)
    assert json.loads(line)["level"] == "WARNING"
