"""What cannot be done is said in one line, with exit code 2, and changes nothing."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from taskqueue import BatchQueue, QueueService
from taskqueue.cli import main
from tests.cli.conftest import JOBS, Here, Shell, refused

OK = f"{JOBS}:ok"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ("nonsense", "nonsense"),
        ("--nonsense list", "--nonsense"),
        ("--database", "--database"),
        ("--database nonsense list", "no URL"),
        ("--database= list", "--database is empty"),
        ("--database sqlite:///:memory: list", "in memory"),
        ("--database oracle://x/y list", "no supported kind"),
        ("--database nonsense://x/y list", "no supported kind"),
        ("--app nonsense list", "module:service"),
        ("--app= list", "module:service"),
        ("--app :service list", "module:service"),
        ("--app a..b:service list", "module:service"),
        ("--app no_such_module:service list", "no module 'no_such_module'"),
        (f"--app {JOBS}:servic list", "did you mean 'service'?"),
        (f"--app {JOBS}:service.nothing list", "service.nothing"),
        (f"--app {JOBS}:no_service list", "no QueueService"),
        (f"--app {JOBS}:service --database sqlite:///x.db list", "not both"),
        ("list extra", "extra"),
        ("list --limit 3", "--limit"),
        ("show", "QUEUE"),
        ("show nonsense", "there is no queue 'nonsense'"),
        ("show emty", "did you mean 'empty'?"),
        ("show a/b", "cannot name a queue"),
        ("items q --limit 0", "--limit"),
        ("items q --limit x", "--limit"),
        ("items nonsense", "nonsense"),
        ("add", "QUEUE"),
        ("add q", "MODULE:CALLBACK"),
        ("add q nonsense", "nonsense"),
        ("add q no_such_module:f", "no module"),
        (f"add q {JOBS}:nothing", "nothing"),
        (f"add q {JOBS}:service", "not callable"),
        (f"add q {OK} text", "argument 1 is no JSON"),
        (f"add q {OK} 1 [", "argument 2 is no JSON"),
        (f"add q {OK} NaN", "args[0]"),
        (f"add q {OK} {'[' * 200}{']' * 200}", "args[0]"),
        (f"add q {OK} {'[' * 200_000}", "argument 1"),
        (f"add q {OK} -5", "-5"),
        (f"add q {OK} --weight x", "--weight"),
        (f"add q {OK} --weight 4294967296", "weight"),
        (f"add q {OK} --delay -1", "--delay"),
        (f"add q {OK} --delay nan", "--delay"),
        (f"add q {OK} --delay inf", "--delay"),
        (f"add new {OK}", "--type"),
        (f"add new {OK} --type Nonsense", "Nonsense"),
        (f"add new {OK} --type Memory", "Memory"),
        (f"add q {OK} --type SqlParallel", "type='Sql'"),
        (f"add a/b {OK} --type Sql", "cannot name a queue"),
        ("run", "QUEUE"),
        ("run nonsense", "nonsense"),
        ("run q", "--allow"),
        ("run q --wait -1", "--wait"),
        ("run q --wait nan", "--wait"),
        ("run q --wait soon", "--wait"),
        ("run q --grace -1", "--grace"),
        ("run q --grace inf", "--grace"),
        ("run q --error-mode nonsense", "--error-mode"),
        ("run paused --allow x --new", "paused"),
        ("run q --allow not-a-module", "not-a-module"),
        ("run q --allow=", "module names"),
        ("run q --steal", "--steal"),
        ("run paused --allow x", "paused"),
        ("run paused --allow x --json", "paused"),
        ("run draft --allow x", "draft"),
        (f"--app {JOBS}:without_list run q", "--allow"),
        ("runs nonsense", "nonsense"),
        ("runs q --limit 0", "--limit"),
        ("web", "--allow"),
        ("web --mode nonsense", "--mode"),
        ("web --port 65536", "--port"),
        ("web --grace -1", "--grace"),
        ("web --host 0.0.0.0 --allow x", "--expose"),
        ("web --host :: --allow x", "--expose"),
        ("web --host= --allow x", "--expose"),
        ("web --url-prefix queue --allow x", "--url-prefix"),
        ("web --url-prefix /../x --allow x", "--url-prefix"),
        ("retry", "QUEUE"),
        ("retry q", "--allow"),
        ("retry paused --allow x", "paused"),
        ("retry empty --allow x", "empty"),
        ("retry empty --allow x --json", "empty"),
        ("skip empty --yes", "empty"),
        ("skip q", "--yes"),
        ("skip paused --yes", "paused"),
        ("reset q", "--yes"),
        ("reset nonsense --yes", "nonsense"),
        ("delete q", "--yes"),
        ("delete nonsense --yes", "nonsense"),
        ("pause nonsense", "nonsense"),
        ("resume nonsense", "nonsense"),
        ("dead", "Missing command"),
        ("dead nonsense", "nonsense"),
        ("dead list nonsense", "nonsense"),
        ("dead show q", "ID"),
        ("dead show q x", "x"),
        ("dead show q 99", "99"),
        ("dead revive q", "--all"),
        ("dead revive q 1 --all", "not both"),
        ("dead revive q 99", "99"),
        ("dead delete q", "--all"),
        ("dead delete q -1", "-1"),
        (f"dead delete q {10**30}", str(10**30)),
        ("db", "Missing command"),
        ("db downgrade", "downgrade"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(
    args: str, part: str, here: Here, service: QueueService, queue: BatchQueue
) -> None:
    # given
    for status in ("paused", "draft"):
        service.create("Sql", status, status=status).enqueue(OK)
    service.create("Sql", "empty")
    queue.enqueue(OK)
    # when
    result = here(*args.split(" "))
    # then
    assert part in refused(result)
    assert {each.name: each.statistics()["ready"] for each in service.queues()} == {
        "draft": 1, "empty": 0, "paused": 1, "q": 1,
    }  # fmt: skip


def test_text_that_is_no_utf8_is_refused(shell: Shell, queue: BatchQueue) -> None:
    # when
    result = shell.run("add", "q", OK, "--title", "\udcff")
    # then
    assert "title" in refused(result)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError"),
        ("import no_such_library", "no_such_library"),
        ("from os import nonsense", "nonsense"),
    ],
)
def test_a_module_of_the_user_that_cannot_be_imported_is_said_in_one_line(source: str, part: str, shell: Shell) -> None:
    # given
    (shell.folder / "broken.py").write_text(source)
    # when
    result = shell.run("--app", "broken:service", "list")
    # then
    assert part in refused(result)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, nor will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
@pytest.mark.parametrize("command", ["list", "run q --allow x", "db upgrade"])
def test_a_database_that_is_down_is_named_without_its_password(
    kind: str, command: str, here: Here, closed_port: int
) -> None:
    # when
    result = here("--database", f"{kind}://me:s3cret@127.0.0.1:{closed_port}/name", *command.split())
    # then
    line = refused(result)
    assert "127.0.0.1" in line
    assert "s3cret" not in line


def test_a_database_file_that_is_none_is_refused(here: Here, shell: Shell) -> None:
    # given
    (shell.folder / "taskqueue.db").write_text("this is a letter, and not a short one" * 100)
    # when, then
    assert "not a database" in refused(here("list"))


@pytest.mark.parametrize("command", ["show q", "items q", "run q", "runs q", "web", "retry q", "skip q",
                                     "pause q", "resume q", "reset q --yes", "delete q --yes", "dead list q",
                                     f"add q {OK}"])  # fmt: skip
@pytest.mark.parametrize("given", ["", "--database sqlite:///taskqueue.db ", f"--app {JOBS}:service "])
def test_no_command_on_a_queue_makes_a_database_file(given: str, command: str, here: Here, shell: Shell) -> None:
    # when
    result = here(*f"{given}{command}".split())
    # then
    assert "taskqueue.db" in refused(result)
    assert list(shell.folder.iterdir()) == []


@pytest.mark.parametrize("debug", [True, False])
def test_an_unexpected_error_is_one_line_unless_debugging(
    debug: bool, here: Here, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(QueueService, "queues", lambda self: 1 // 0)
    # when
    result = here(*(["--debug"] if debug else []), "list")
    # then
    assert result.exit_code == 70
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ZeroDivisionError")
    assert "--debug" in last
    assert ("Traceback" in result.stderr) is debug
    assert debug or len(result.stderr.splitlines()) == 1


def test_each_command_has_a_help_with_an_example() -> None:
    # given
    def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{path} {name}")
            else:
                yield f"{path} {name}", command

    # when
    found = dict(commands(main, "taskqueue"))
    # then
    assert len(found) == 54
    for path, command in found.items():
        text = command.get_help(click.Context(command, info_name=path))
        assert "Example" in text
        assert path in text.partition("Example")[2] or path.split()[-1] in text.partition("Example")[2]


def test_the_command_alone_shows_its_help(here: Here) -> None:
    # when
    result = here()
    # then
    assert result.exit_code == 0
    assert "_TASKQUEUE_COMPLETE=bash_source taskqueue" in result.stdout


def test_version(here: Here) -> None:
    assert here("--version").stdout == "taskqueue, version 0.1.0\n"


def test_the_console_script_is_the_same_command() -> None:
    assert (Path(sys.executable).parent / "taskqueue").exists()
