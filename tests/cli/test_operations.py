"""``operations list``, ``show``, ``result``, ``names``, ``cancel``, ``retry`` and ``forget``."""

from __future__ import annotations

import json
import os
import pty
from typing import Any

import pytest

from taskqueue import QueueService, travel
from taskqueue.operations import Call, Operations, User
from tests.cli.calling import declare
from tests.cli.conftest import Here, Shell, refused

APP = ("--app", "tests.cli.calling:service", "operations")
ALICE = User("alice", frozenset({"sales"}))


@pytest.fixture
def ops(service: QueueService) -> Operations:
    """The same operations, in this process."""
    return declare(Operations(service))


@pytest.fixture
def told(shell: Shell) -> Any:
    """Calls a command; what it says as JSON."""

    def call(*args: str) -> Any:
        result = shell.run(*APP, *args, "--json")
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return json.loads(result.stdout)

    return call


@pytest.fixture
def calls(ops: Operations) -> dict[str, Call]:
    """A call in each of many states."""
    made = {
        "succeeded": ops.defer("double", 21, user=ALICE, key="sesame"),
        "file": ops.defer("print"),
        "failed": ops.defer("refuse", user="7"),
        "dead": ops.defer("break", user=7),
        "retrying": ops.defer("fail"),
    }
    ops.drain()
    made["scheduled"] = ops.defer("double", 22, user=ALICE, delay=3600)
    made["queued"] = ops.defer("wait", {"started": "sesame"}, user=ALICE)
    return made


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ("", ["queued", "scheduled", "retrying", "dead", "failed", "file", "succeeded"]),
        ("--state dead", ["dead"]),
        ("--state queued --owner alice", ["queued"]),
        ("--owner alice", ["queued", "scheduled", "succeeded"]),
        ("--owner 7", ["dead"]),
        ("--owner :7", ["failed"]),
        ("--owner=", ["retrying", "file"]),
        ("--operation double", ["scheduled", "succeeded"]),
        ("--operation nonsense", []),
        ("--limit 2", ["queued", "scheduled"]),
    ],
)
def test_calls_are_listed_the_newest_first_and_without_their_data(
    args: str, names: list[str], shell: Shell, told: Any, calls: dict[str, Call]
) -> None:
    table, facts = shell.run(*APP, "list", *args.split()), told("list", *args.split())

    order = {call.id: name for name, call in calls.items()}
    assert sorted(order[each["id"]] for each in facts) == sorted(names)
    assert [each["created"] for each in facts] == sorted((each["created"] for each in facts), reverse=True)
    assert {name for call_id, name in order.items() if call_id in table.stdout} == set(names)
    assert ("... and more (--limit)" in table.stdout) == ("--limit" in args)
    for secret in ("sesame", "\x1b", "secret of the program"):
        assert secret not in table.stdout
    if not names:
        assert table.stdout == "There are no such calls.\n"
    owners = {"dead": "7", "failed": ":7", "queued": "alice", "retrying": ""}
    assert all(each["owner"] == owners.get(order[each["id"]], each["owner"]) for each in facts)


def test_a_call_is_shown_with_what_its_user_is_not_told(shell: Shell, told: Any, calls: dict[str, Call]) -> None:
    dead, facts = shell.run(*APP, "show", calls["dead"].id), told("show", calls["dead"].id)
    assert (facts["state"], facts["attempts"], facts["owner"], facts["queue"]) == ("dead", 1, "7", "operations")
    assert (facts["last_error"], facts["error"]["code"]) == ("ValueError: boom", "internal_error")
    assert "break_" in facts["traceback"]
    assert "Latest failure\n  ValueError: boom\n" in dead.stdout
    assert told("show", calls["retrying"].id)["last_error"] == "ValueError: secret of the program"
    shown = shell.run(*APP, "show", calls["failed"].id).stdout
    assert "refused: no \\x1b[31mway" in shown
    succeeded, file = told("show", calls["succeeded"].id), told("show", calls["file"].id)
    assert (succeeded["result_type"], file["result_type"], file["result_bytes"]) == (
        "application/json", "application/pdf", 6
    )  # fmt: skip
    assert "application/pdf, 6 bytes" in shell.run(*APP, "show", calls["file"].id).stdout
    assert "sesame" not in json.dumps([told("show", calls[name].id) for name in ("queued", "succeeded")])


def test_results_are_printed_or_written(shell: Shell, calls: dict[str, Call]) -> None:
    for _ in range(2):
        assert shell.run(*APP, "result", calls["succeeded"].id).stdout == "42\n"
    file = calls["file"].id
    assert "(application/pdf, 6 bytes): say where to write it" in refused(shell.run(*APP, "result", file))
    written = shell.run(*APP, "result", file, "--output", "a.pdf")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "Wrote 6 bytes to a.pdf.\n")
    assert (shell.folder / "a.pdf").read_bytes() == b"%PDF \xff"
    shell.run(*APP, "result", calls["succeeded"].id, "--output", "number")
    assert json.loads((shell.folder / "number").read_text()) == 42
    assert shell.run(*APP, "result", calls["succeeded"].id, "--output", "-").stdout == "42\n"
    assert "cannot be written" in shell.run(*APP, "result", file, "--output", "no/such/folder").stderr


@pytest.mark.parametrize(
    ("name", "part"),
    [("queued", "no result yet: it is queued"), ("failed", "it is failed (refused: no"), ("dead", "it is dead")],
)
def test_what_has_no_result_says_why(name: str, part: str, shell: Shell, calls: dict[str, Call]) -> None:
    assert part in refused(shell.run(*APP, "result", calls[name].id))


def test_the_operations_are_listed(shell: Shell, told: Any) -> None:
    table = shell.run(*APP, "names")
    lines = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert "office, sales" in lines["double"] and "Twice the number." in lines["double"]
    assert "1:30:00" in lines["print"] and "dead" in lines["print"]
    assert "7 days" in lines["now"]
    assert [each["name"] for each in told("names", "--not-queueable")] == ["now"]
    (double,) = (each for each in told("names", "--queueable") if each["name"] == "double")
    assert (double["schema"], double["roles"], double["rate"], double["per"]) == (
        {"type": "integer"}, ["office", "sales"], 5, 3600.0
    )  # fmt: skip


def test_waiting_calls_are_cancelled(ops: Operations, told: Any, calls: dict[str, Call]) -> None:
    assert told("cancel", calls["queued"].id) == {"cancelled": 1, "stopping": 0}
    assert told("cancel", "--operation", "double", "--yes") == {"cancelled": 1, "stopping": 0}
    assert told("cancel", "--all", "--yes") == {"cancelled": 1, "stopping": 0}
    assert {name: ops.get(call.id).state for name, call in calls.items()} == {
        "succeeded": "succeeded", "file": "succeeded", "failed": "failed", "dead": "dead", "retrying": "cancelled",
        "scheduled": "cancelled", "queued": "cancelled",
    }  # fmt: skip


def test_calls_are_tried_again(ops: Operations, shell: Shell, told: Any, calls: dict[str, Call]) -> None:
    said = shell.run(*APP, "retry", calls["dead"].id)
    assert (said.returncode, said.stdout) == (0, "1 call will be tried again.\n")
    assert told("retry", "--state", "failed") == {"retried": 1}
    assert told("retry", "--all") == {"retried": 0}
    assert [ops.get(calls[name].id).state for name in ("dead", "failed")] == ["queued", "queued"]


def test_calls_that_have_ended_are_forgotten(
    ops: Operations, service: QueueService, told: Any, calls: dict[str, Call]
) -> None:
    assert told("forget", calls["dead"].id) == {"forgotten": 1}
    assert service.load("operations").get_statistic("dead") == 0
    assert told("forget", "--operation", "double", "--yes") == {"forgotten": 1}
    assert told("forget", "--all", "--yes") == {"forgotten": 2}
    assert {call.id for call in ops.calls()} == {calls[name].id for name in ("retrying", "scheduled", "queued")}


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ("cancel", "--all"),
        ("cancel --all --owner alice", "not both"),
        ("cancel {queued} --all", "not both"),
        ("cancel {queued} ffff", "no call with the id ffff; nothing was changed"),
        ("cancel {queued} {dead}", "is dead, and that is possible only for calls that are queued"),
        (
            "cancel --state dead --yes",
            "possible only for calls that are queued, scheduled, running, retrying, not dead",
        ),
        ("cancel --all", "say --yes if it is meant so"),
        ("retry {succeeded}", "is succeeded"),
        ("retry --state nonsense", "nonsense"),
        ("forget {queued}", "is queued"),
        ("forget --all", "say --yes if it is meant so"),
        ("show ffff", "no call with the id ffff"),
        ("show " + "f" * 32, "no call with the id fff"),
        ("result ffff", "no call with the id ffff"),
        ("list --state nonsense", "nonsense"),
        ("list --limit 0", "--limit"),
        ("show", "ID"),
        ("drain --grace -1", "--grace"),
        ("nonsense", "nonsense"),
    ],
)
def test_what_is_not_clear_is_refused(
    args: str, part: str, shell: Shell, ops: Operations, calls: dict[str, Call]
) -> None:
    before = {call.id: call.state for call in ops.calls()}
    ids = {name: call.id for name, call in calls.items()}

    assert part in refused(shell.run(*APP, *args.format(**ids).split()))

    assert {call.id: call.state for call in ops.calls()} == before


def test_what_is_over_says_so(here: Here, shell: Shell, calls: dict[str, Call]) -> None:
    with travel(30 * 86_400):
        assert "the time of its result is over" in refused(here(*APP, "show", calls["succeeded"].id))
        assert json.loads(here(*APP, "list", "--state", "succeeded", "--json").stdout) == []


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 2), (b"n\n", 1, 4)])
def test_a_human_is_told_how_many_match_and_asked(
    answer: bytes, code: int, left: int, shell: Shell, ops: Operations, calls: dict[str, Call]
) -> None:
    ours, theirs = pty.openpty()
    process = shell.start(*APP, "forget", "--state", "succeeded", stdin=theirs)
    os.write(ours, answer)
    _out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)

    assert "This will forget 2 calls. Go on?" in err
    ended = [call for call in ops.calls() if call.is_final]
    assert (process.returncode, len(ended)) == (code, left)


@pytest.mark.parametrize("command", ["list", "drain", "names", "show ffff", "cancel --all"])
@pytest.mark.parametrize("app", ["tests.cli.calling:bare", "tests.cli.jobs:service", None])
def test_without_operations_that_is_said(app: str | None, command: str, shell: Shell) -> None:
    before = ("--app", app) if app is not None else ()
    assert "nothing says which operations there are: name by --app" in refused(
        shell.run(*before, "operations", *command.split())
    )
    assert list(shell.folder.iterdir()) == []


def test_without_a_database_there_is_nothing_and_none_is_made(shell: Shell) -> None:
    assert shell.run(*APP, "list", "--json").stdout == "[]\n"
    assert shell.run(*APP, "list").stdout == "There are no calls, nor a database file taskqueue.db.\n"
    drained = shell.run(*APP, "drain")
    assert (drained.returncode, drained.stdout) == (0, "Made 0 attempts; 0 waiting, 0 dead.\n")
    assert "nor a database file taskqueue.db" in refused(shell.run(*APP, "show", "f" * 32))
    assert shell.run(*APP, "retry", "--all").stdout == "0 calls will be tried again.\n"
    assert list(shell.folder.iterdir()) == []


def test_app_may_name_the_operations(shell: Shell, calls: dict[str, Call]) -> None:
    told = shell.run("--app", "tests.cli.calling:operations", "operations", "list", "--json")
    assert (told.returncode, len(json.loads(told.stdout))) == (0, 7), told.stderr
