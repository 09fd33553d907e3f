"""Tasks that harm their process: each is parked with a reason, and its neighbours go on and are not blamed."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, ErrorMode, QueueService, Runner
from tests.cli import poison
from tests.cli.conftest import Shell
from tests.cli.working import finish
from tests.contract.records import counted, counters, run_of
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.chaos
#: Those that end the process that executes them; it is lost three times, and that is enough.
DEADLY: list[Callable[..., Any]] = [poison.leave, poison.crash, poison.kill_itself, poison.abort]
#: Those that fail, and what is said of that.
FAILING: dict[Callable[..., Any], str] = {
    poison.take_memory: "MemoryError",
    poison.recurse: "RecursionError",
    poison.exit_by_exception: "SystemExit",
    poison.interrupt: "KeyboardInterrupt",
    poison.stop_generator: "GeneratorExit",
    poison.handle_signals: "ValueError",
}
LOST = "worker lost 3 times"
#: Starts the command; the pause before a process is replaced does not grow.
PROGRAM = ("-c", "import sys, taskqueue.worker.processes as p; p._YOUNG = 0.0; "
           "sys.argv[0] = 'taskqueue'; from taskqueue.cli import main; main()")  # fmt: skip
NEIGHBOURS = 12


def fill(queue: BatchQueue, folder: Path, *poisons: Callable[..., Any]) -> dict[int, str]:
    """Add poisonous tasks, with neighbours between them; the names of the former by id."""
    ids: dict[int, str] = {}
    for number in range(NEIGHBOURS):
        if number < len(poisons):
            ids[queue.enqueue(poisons[number], title=poisons[number].__name__).id] = poisons[number].__name__
        queue.enqueue(poison.note, str(folder), number)
    return ids


def noted(folder: Path) -> Counter[int]:
    """The numbers of the neighbours that were executed."""
    return Counter(map(int, (folder / "noted").read_text().split()))


@pytest.mark.parametrize("type_", ["Sql", "SqlParallel"])
@pytest.mark.parametrize("options", [("--processes", "2"), ("--threads", "3")], ids=["processes", "threads"])
def test_given_poison_when_workers_serve_then_it_is_parked_with_the_reason_and_its_neighbours_are_executed(
    shell: Shell, service: QueueService, type_: str, options: tuple[str, ...]
) -> None:
    # given
    queue = service.create(type_, "q", error="dead")
    deadly = DEADLY if type_ == "SqlParallel" else DEADLY[:2]
    if type_ == "SqlParallel" and "--threads" in options:
        deadly = []  # what ends a process takes along what its other threads have in hand: a limit, see the guide
    ids = fill(queue, shell.folder, *deadly, *FAILING)
    # when
    process = shell.start("--app", f"{poison.__name__}:service", "work", "q", "--drain", *options, program=PROGRAM,
                          env={"TASKQUEUE_DATABASE_URL": shell.url})  # fmt: skip
    code, _out, err = finish(process)
    # then
    assert code == 0, err
    reasons = {ids[letter.id]: letter.error for letter in queue.dead_items()}
    assert {name: reason for name, reason in reasons.items() if reason == LOST} == {
        task.__name__: LOST for task in deadly
    }
    assert {name: reason.split(":")[0] for name, reason in reasons.items() if reason != LOST} == {
        task.__name__: reason for task, reason in FAILING.items()
    }
    assert noted(shell.folder) == Counter(range(NEIGHBOURS))
    assert queue.statistics() == dict.fromkeys(queue.statistics(), 0) | {"dead": len(ids)}


@pytest.mark.parametrize("options", [("--processes", "2"), ("--threads", "3")], ids=["processes", "threads"])
def test_given_a_task_that_kills_its_process_group_when_the_command_is_given_again_and_again_then_it_is_parked(
    shell: Shell, service: QueueService, options: tuple[str, ...]
) -> None:
    # given: somebody who starts the command again whenever it dies
    queue = service.create("Sql", "q", error="dead")
    fill(queue, shell.folder, poison.kill_group)
    kills = 0
    # when
    while True:
        process = shell.start("--app", f"{poison.__name__}:service", "work", "q", "--drain", *options,
                              env={"TASKQUEUE_DATABASE_URL": shell.url}, start_new_session=True)  # fmt: skip
        code, _out, err = finish(process)
        if code != -signal.SIGKILL or kills > 3:
            break
        kills += 1
    # then
    assert (code, kills) == (0, 3), err
    assert [letter.error for letter in queue.dead_items()] == [LOST]
    assert noted(shell.folder) == Counter(range(NEIGHBOURS))


def test_given_deadly_poison_in_a_background_run_then_the_run_comes_to_its_end_and_counts_it_as_failed(
    shell: Shell, service: QueueService
) -> None:
    # given
    queue = service.create("SqlParallel", "q", agent="server", error="dead")
    fill(queue, shell.folder, poison.leave)
    Runner(queue).run_all_via_background()
    # when
    process = shell.start("--app", f"{poison.__name__}:service", "work", "--drain", "--processes", "2", program=PROGRAM,
                          env={"TASKQUEUE_DATABASE_URL": shell.url})  # fmt: skip
    code, _out, err = finish(process)
    # then
    assert code == 0, err
    run = run_of(queue)
    assert (run.status, counters(run)) == ("completed", counted(NEIGHBOURS + 1, done=NEIGHBOURS, failed=1))
    assert [letter.error for letter in queue.dead_items()] == [LOST]


def test_given_a_task_that_changes_its_whole_process_then_the_next_ones_are_executed(
    shell: Shell, service: QueueService
) -> None:
    queue = service.create("Sql", "q", error="dead")
    queue.enqueue(poison.change_all, str(shell.folder))
    fill(queue, shell.folder)

    process = shell.start("--app", f"{poison.__name__}:service", "work", "q", "--drain",
                          env={"TASKQUEUE_DATABASE_URL": shell.url})  # fmt: skip
    code, _out, err = finish(process)

    assert (code, queue.number_of_items(), queue.dead_items()) == (0, 0, []), err
    assert noted(shell.folder) == Counter(range(NEIGHBOURS))


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_a_task_that_cuts_all_connections_then_it_and_its_neighbours_are_finished_once(
    shell: Shell, database_url: str
) -> None:
    service = QueueService(database_url)
    queue = service.create("SqlParallel", "q", error="dead")
    queue.enqueue(poison.cut_lines)
    fill(queue, shell.folder)

    process = shell.start("--app", f"{poison.__name__}:service", "work", "q", "--drain",
                          env={"TASKQUEUE_DATABASE_URL": database_url})  # fmt: skip
    code, _out, err = finish(process)

    assert (code, queue.number_of_items(), queue.dead_items()) == (0, 0, []), err
    assert noted(shell.folder) == Counter(range(NEIGHBOURS))
    service.close()


def test_given_failing_poison_when_a_runner_goes_through_the_queue_then_the_neighbours_are_executed(
    service: QueueService, tmp_path: Path
) -> None:
    # The one is the user's Ctrl-C here; in the main thread the other is allowed, and would deafen these tests.
    by_exception = [task for task in FAILING if task not in (poison.interrupt, poison.handle_signals)]
    made = QueueService(service.database.url.render_as_string(hide_password=False), allow=[poison.__name__])
    queue = made.create("Sql", "run", error="dead")
    ids = fill(queue, tmp_path, *by_exception)

    result = Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert (result.failed, result.completed) == (len(by_exception), NEIGHBOURS)
    assert sorted(ids) == [letter.id for letter in queue.dead_items()]
    assert noted(tmp_path) == Counter(range(NEIGHBOURS))
    made.close()
