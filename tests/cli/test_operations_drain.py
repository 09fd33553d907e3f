"""``operations drain``: what cron starts."""

from __future__ import annotations

import json
import signal

import pytest

from taskqueue import QueueService, travel
from taskqueue.cli.operations_drain import Tally
from taskqueue.operations import Call, Operations
from taskqueue.signals import item_finished
from tests.cli.calling import declare
from tests.cli.conftest import Shell
from tests.cli.test_in_flask import FlaskShell

NO_HANDLERS = {"told": 0, "failed": 0, "waiting": 0}
APP = ("--app", "tests.cli.calling:service", "operations")


@pytest.fixture
def ops(service: QueueService) -> Operations:
    """The same operations, in this process."""
    return declare(Operations(service))


def test_what_is_due_is_executed_and_what_is_not_is_left(shell: Shell, ops: Operations) -> None:
    calls = [ops.defer("print") for _ in range(2)]
    failed, later = ops.defer("refuse"), ops.defer("print", delay=3600)

    told = shell.run(*APP, "drain")

    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-1] == "Made 3 attempts: 2 succeeded, 1 failed; 1 waiting, 0 dead."
    assert [ops.get(call.id).state for call in (*calls, failed, later)] == [
        "succeeded", "succeeded", "failed", "scheduled"
    ]  # fmt: skip
    again = shell.run(*APP, "drain", "--json")
    assert json.loads(again.stdout) == {
        "attempts": 0, "states": {}, "waiting": 1, "dead": 0, "handlers": NO_HANDLERS, "stopped_by": None
    }  # fmt: skip


def test_stdout_holds_the_json_alone(shell: Shell, ops: Operations) -> None:
    ops.defer("print")
    told = shell.run(*APP, "drain", "--no-wait", "--json")
    assert json.loads(told.stdout)["states"] == {"succeeded": 1}
    assert told.stderr == "printed by an operation\n"


@pytest.mark.parametrize(
    ("name", "said", "states"),
    [
        ("fail", "1 to be tried again; 1 waiting, 0 dead.", {"retrying": 1}),
        ("break", "1 dead; 0 waiting, 1 dead.", {"dead": 1}),
    ],
)
@pytest.mark.parametrize("output", [(), ("--json",)])
def test_what_somebody_has_to_look_at_is_exit_code_1(
    name: str, said: str, states: dict[str, int], output: tuple[str, ...], shell: Shell, ops: Operations
) -> None:
    ops.defer(name)
    told = shell.run(*APP, "drain", *output)
    assert told.returncode == 1
    assert "Traceback (most recent call last)" in told.stderr
    assert told.stderr.splitlines()[-1].startswith("ValueError: ")
    if output:
        assert json.loads(told.stdout)["states"] == states
    else:
        assert told.stdout == f"Made 1 attempt: {said}\n"


def test_a_paused_queue_is_said(shell: Shell, ops: Operations, service: QueueService) -> None:
    ops.defer("print")
    service.load("operations").set_status("paused")
    told = shell.run(*APP, "drain")
    assert (told.returncode, told.stdout) == (1, "Made 0 attempts; 1 waiting, 0 dead.\n")
    assert told.stderr == "Not drained: queue 'operations' is paused and has 1 item left.\n"


def test_a_handler_of_ends_that_fails_is_said(shell: Shell) -> None:
    service = QueueService(shell.url)
    ops = declare(Operations(service))
    ops.finished(lambda call: None)
    ops.defer("print")
    told = shell.run("--app", "tests.cli.calling:telling", "operations", "drain")
    assert told.returncode == 1
    assert told.stdout.splitlines()[-1] == (
        "Made 1 attempt: 1 succeeded; 1 attempt to tell handlers failed; "
        "0 waiting, 1 end to be told to handlers, 0 dead."
    )
    assert "nobody listens" in told.stderr
    service.close()


def test_handlers_are_counted_apart_from_calls(ops: Operations) -> None:
    ops.finished(lambda call: None)
    for name in ("print", "print", "fail"):
        ops.defer(name)

    tally = Tally(ops)
    with item_finished.connected_to(tally.note):
        made = ops.drain()

    assert (made, tally.said()) == (5, "3 attempts: 2 succeeded, 1 to be tried again; 2 ends told to handlers")


def test_what_looks_whether_a_call_has_stopped_is_no_call(ops: Operations, service: QueueService) -> None:
    ops.finished(lambda call: None)
    call = ops.defer("print")
    queue, tally = service.load("operations"), Tally(ops)
    held = queue.claim_item()
    assert held is not None
    ops.cancel(call.id)
    queue.release_item(held)

    with travel(60), item_finished.connected_to(tally.note):
        made = ops.drain()

    assert (made, tally.attempts, tally.told) == (2, 0, 1)


def test_a_handler_that_is_dead_can_be_found(shell: Shell, ops: Operations) -> None:
    def fail(call: Call) -> None:
        raise ValueError("nobody listens")

    ops.finished(fail)
    ops.defer("print")
    for hours in range(5):
        with travel(3600 * hours):
            ops.drain()

    told = shell.run(*APP, "drain")

    assert (told.returncode, told.stdout) == (0, "Made 0 attempts; 0 waiting, 0 dead.\n")
    assert told.stderr == (
        "1 dead letter beside those of calls, as of handlers that have failed: see 'taskqueue dead list operations'.\n"
    )
    assert "nobody listens" in shell.run("dead", "list", "operations").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_operation_that_listens_is_finished_and_the_rest_given_back(
    number: signal.Signals, code: int, shell: Shell, ops: Operations
) -> None:
    started = shell.fifo("started")
    first, second = ops.defer("wait", {"started": str(started)}), ops.defer("print")
    process = shell.start(*APP, "drain", "--grace", "600")
    assert started.read_text() == "started"

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (code, "")
    assert out == f"Stopped by {number.name}: made 1 attempt: 1 succeeded; 1 waiting, 0 dead.\n"
    assert (ops.result(first.id), ops.get(second.id).state, ops.get(second.id).attempts) == ("stopped", "queued", 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("output", [(), ("--json",)])
def test_an_operation_that_does_not_listen_is_given_back(
    number: signal.Signals, code: int, output: tuple[str, ...], shell: Shell, ops: Operations, service: QueueService
) -> None:
    started, gate = shell.fifo("started"), shell.fifo("gate")
    call = ops.defer("wait", {"started": str(started), "gate": str(gate)})
    process = shell.start(*APP, "drain", "--grace", "0.2", *output)
    assert started.read_text() == "started"

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (code, "")
    if output:
        assert json.loads(out) == {
            "attempts": 0, "states": {}, "waiting": 1, "dead": 0, "handlers": NO_HANDLERS, "stopped_by": number.name
        }  # fmt: skip
    found = ops.get(call.id)
    assert (found.state, found.attempts) == ("queued", 0)
    assert service.load("operations").statistics()["leased"] == 0


def test_in_flask_operations_have_the_context_of_the_application(shell: Shell, service: QueueService) -> None:
    flask = FlaskShell(shell)
    with (shell.folder / "app.py").open("a") as file:
        file.write(
            "\n"
            "from taskqueue.operations import Operations\n"
            "ops = Operations(app.extensions['taskqueue']['taskqueue'].service)\n"
            "@ops.operation('name', queueable=True)\n"
            "def name(ctx, data):\n"
            "    return current_app.name\n"
        )
    ops = Operations(service)
    ops.operation("name", queueable=True)(lambda ctx, data: None)
    call = ops.defer("name")

    told = flask("operations", "drain", "--json")

    assert (told.returncode, told.stderr) == (0, "")
    assert ops.result(call.id) == "shop"
    assert "there is no call with the id ffff" in flask("operations", "show", "ffff").stderr
