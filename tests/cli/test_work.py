"""``taskqueue work`` in processes of its own: limits, signals, processes that are killed, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter

import pytest

from taskqueue import BatchQueue, QueueService, Task
from taskqueue.worker import roster
from tests.cli.conftest import JOBS, Here, Shell, children, refused
from tests.cli.working import (
    ALLOW,
    NOTHING_HELD,
    at_work,
    fill,
    finish,
    is_alive,
    journal,
    states,
    wait_for_start,
    wait_until,
)

# --- how it ends by itself ---


def test_drain_executes_all_in_order_and_ends(shell: Shell, queue: BatchQueue) -> None:
    # given
    fill(queue)
    queue.enqueue(f"{JOBS}:append", "later", delay=600)
    # when
    done = shell.run("work", "q", "--drain", *ALLOW)
    # then
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == "Ended (drained) after 20 items."
    assert (journal(shell), queue.number_of_items()) == ([str(n) for n in range(20)], 1)


def test_once_executes_one_item(shell: Shell, queue: BatchQueue) -> None:
    # given
    fill(queue, 2)
    # when
    codes = [shell.run("work", "q", "--once", *ALLOW).returncode for _ in range(3)]
    # then
    assert (codes, journal(shell)) == ([0, 0, 0], ["0", "1"])


def test_max_items_counts_over_all_processes(shell: Shell, service: QueueService) -> None:
    # given
    queue = service.create("SqlParallel", "q")
    fill(queue, 30)
    # when
    done = shell.run("work", "q", "--max-items", "17", "--processes", "2", "--json", *ALLOW)
    # then
    assert (done.returncode, json.loads(done.stdout)) == (0, {"executed": 17, "ended_by": "spent"})
    assert len(journal(shell)) == len(set(journal(shell))) == 17
    assert queue.statistics() == {"total": 13, "ready": 13, **NOTHING_HELD}
    assert {item.run_count for item in queue.items()} == {0}


def test_without_a_limit_all_processes_are_counted_also_those_that_were_replaced(
    shell: Shell, service: QueueService
) -> None:
    # given: each process is replaced after what it has executed first
    queue = service.create("SqlParallel", "q")
    fill(queue, 30)
    # when
    done = shell.run(
        "work", "q", "--drain", "--processes", "2", "--max-memory", "1M", "--prefetch", "1", "--json", *ALLOW
    )
    # then
    assert (done.returncode, json.loads(done.stdout)) == (0, {"executed": 30, "ended_by": "drained"})
    assert Counter(journal(shell)) == Counter(str(n) for n in range(30))


def test_what_was_there_before_a_process_was_forked_is_not_gone_through_by_its_collector(
    shell: Shell, queue: BatchQueue
) -> None:
    # given
    queue.enqueue(f"{JOBS}:count_frozen")
    # when
    done = shell.run("work", "q", "--drain", *ALLOW)
    # then
    (frozen,) = journal(shell)
    assert done.returncode == 0 and int(frozen) > 10_000


def test_max_seconds(shell: Shell, queue: BatchQueue) -> None:
    # when
    done = shell.run("work", "q", "--max-seconds", "0.3", "--json", *ALLOW)
    # then
    assert (done.returncode, json.loads(done.stdout)) == (0, {"executed": 0, "ended_by": "spent"})


def test_a_process_that_uses_too_much_memory_is_replaced_and_nothing_is_lost(shell: Shell, queue: BatchQueue) -> None:
    # given: less than any process needs
    queue.create_items(Task(f"{JOBS}:write_pid") for _ in range(3))
    # when
    done = shell.run("work", "q", "--drain", "--max-memory", "1M", "--prefetch", "1", *ALLOW)
    # then: whoever executed something is replaced
    assert (done.returncode, queue.number_of_items()) == (0, 0)
    assert len(journal(shell)) == 3
    assert len(set(journal(shell))) >= 2, done.stderr
    assert "memory" in done.stderr


@pytest.mark.parametrize("type_", ["Sql", "SqlParallel"])
def test_overlapping_starts_do_no_harm(type_: str, shell: Shell, service: QueueService) -> None:
    # given: as cron would, when the one before is not done yet
    queue = service.create(type_, "q")
    fill(queue, 60)
    # when
    started = [shell.start("work", "q", "--drain", *ALLOW) for _ in range(3)]
    ended = [finish(process) for process in started]
    # then
    assert [code for code, _out, _err in ended] == [0, 0, 0], ended
    assert Counter(journal(shell)) == Counter(str(n) for n in range(60))
    if type_ == "Sql":
        assert journal(shell) == [str(n) for n in range(60)]
    assert queue.number_of_items() == 0


def test_all_queues_with_agent_server_are_served(shell: Shell, service: QueueService) -> None:
    # given
    for name, agent in (("a", "server"), ("b", "server"), ("c", "browser")):
        fill(service.create("Sql", name, agent=agent, error="abort"), 1)
    # when
    done = shell.run("work", "--drain", *ALLOW)
    # then
    assert (done.returncode, journal(shell)) == (0, ["0", "0"])
    assert service.load("c").number_of_items() == 1


# --- signals ---


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_the_item_in_hand_be_finished(
    number: signal.Signals, code: int, shell: Shell, queue: BatchQueue
) -> None:
    # given
    process = at_work(shell, queue, "until_stopped")
    # when
    process.send_signal(number)
    ended = finish(process)
    # then
    assert ended[0] == code, ended
    assert "Ended (stopped) after 31 items." in ended[2]
    assert queue.statistics() == {"total": 10, "ready": 10, **NOTHING_HELD}
    assert {item.run_count for item in queue.items()} == {0}


def test_ctrl_c_in_a_terminal_reaches_all_processes_and_they_end_in_good_order(shell: Shell, queue: BatchQueue) -> None:
    # given
    process = at_work(shell, queue, "until_stopped", "--processes", "2")
    # when: as a terminal does, to each process of the group (here: one by one)
    for pid in (process.pid, *children(process)):
        os.kill(pid, signal.SIGINT)
    # then
    assert finish(process)[0] == 130
    assert queue.statistics() == {"total": 10, "ready": 10, **NOTHING_HELD}


def test_after_the_grace_period_all_is_given_back(shell: Shell, queue: BatchQueue) -> None:
    # given
    process = at_work(shell, queue, "until_opened", "--grace", "0.2")
    # when
    process.send_signal(signal.SIGTERM)
    # then
    assert finish(process)[0] == 0
    assert_given_back(queue)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_gives_all_back_at_once(first: signal.Signals, shell: Shell, queue: BatchQueue) -> None:
    # given
    process = at_work(shell, queue, "until_opened", "--grace", "600")
    process.send_signal(first)
    wait_until(lambda: "stopping" in states(queue), "it has heard the first one")
    # when
    process.send_signal(signal.SIGTERM)
    # then
    assert finish(process)[0] == 143
    assert_given_back(queue)


def assert_given_back(queue: BatchQueue) -> None:
    assert queue.statistics() == {"total": 11, "ready": 11, **NOTHING_HELD}
    assert {(item.run_count, item.interruptions, item.failures) for item in queue.items()} == {(0, 0, 0)}
    assert next(queue.items()).title == "the blocker"


def test_a_second_signal_ends_a_task_that_holds_the_one_writer_of_sqlite(shell: Shell, queue: BatchQueue) -> None:
    # given
    started = shell.folder / "started"
    queue.enqueue(f"{JOBS}:until_opened_after_a_signal", str(started), str(shell.fifo("gate")))
    process = shell.start("work", "q", *ALLOW, "--grace", "600")
    wait_for_start(started)
    # when
    process.send_signal(signal.SIGTERM)
    wait_for_start(started)  # two signals at the same moment would be one
    process.send_signal(signal.SIGTERM)
    # then
    assert finish(process)[0] == 143
    assert queue.number_of_items() == 1


# --- processes that die ---


def test_a_process_that_is_killed_is_replaced_and_its_item_offered_again(shell: Shell, queue: BatchQueue) -> None:
    # given
    started, gate = shell.folder / "started", shell.fifo("gate")
    queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate))
    process = shell.start("--app", f"{JOBS}:quick", "work", "q", env={"TASKQUEUE_DATABASE_URL": shell.url})
    wait_for_start(started)
    (victim,) = children(process)
    # when
    os.kill(victim, signal.SIGKILL)
    # then
    wait_for_start(started)
    assert children(process) and victim not in children(process)
    gate.write_text("go on")
    wait_until(lambda: not queue.number_of_items(), "the item is done")
    process.send_signal(signal.SIGTERM)
    code, _out, err = finish(process)
    assert code == 0 and "died (by SIGKILL) and is replaced" in err


def test_a_process_that_has_lost_a_thread_is_replaced(shell: Shell, queue: BatchQueue) -> None:
    # given
    process = shell.start("work", "q", *ALLOW)
    wait_until(lambda: children(process), "the process is there")
    before = children(process)
    # when
    queue.enqueue(f"{JOBS}:lose_thread")
    wait_until(lambda: children(process) - before, "another process is there")
    queue.enqueue(f"{JOBS}:append", "x")
    # then
    wait_until(lambda: journal(shell) == ["x"], "the next item is executed")
    process.terminate()
    code, _out, err = finish(process)
    assert (code, queue.number_of_items()) == (0, 0)
    assert "has lost a thread and is replaced" in err


def test_processes_whose_parent_is_killed_end_by_themselves(shell: Shell, service: QueueService) -> None:
    # given
    queue = service.create("SqlParallel", "q")
    process = at_work(shell, queue, "until_stopped", "--processes", "2")
    orphans = children(process)
    assert len(orphans) == 2
    # when
    process.kill()
    # then: in good order
    wait_until(lambda: not any(map(is_alive, orphans)), "they end")
    wait_until(lambda: not queue.get_statistic("leased"), "what they held is given back")
    assert "the blocker" not in {item.title for item in queue.items()}
    assert roster.workers(service) == []


def test_a_task_that_takes_too_long_is_ended_with_its_process_and_counts_as_failed(
    shell: Shell, service: QueueService
) -> None:
    # given
    queue = service.create("Sql", "q", lease_time=1, error="dead")
    started, gate = shell.folder / "started", shell.fifo("gate")
    item = queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate), title="endless")
    queue.enqueue(f"{JOBS}:append", "next")
    # when
    process = shell.start("work", "q", "--drain", *ALLOW)
    wait_for_start(started)
    code, _out, err = finish(process)
    # then
    assert code == 0, err
    (dead,) = queue.dead_items()
    assert (dead.id, dead.failures) == (item.id, 1)
    assert "took longer than lease_time" in dead.error
    assert journal(shell) == ["next"]


def test_a_task_that_takes_too_long_is_ended_although_it_holds_the_one_writer_of_sqlite(
    shell: Shell, service: QueueService
) -> None:
    # given
    queue = service.create("Sql", "q", lease_time=1, error="dead")
    started, gate = shell.folder / "started", shell.fifo("gate")
    queue.enqueue(f"{JOBS}:until_opened_in_transaction", str(started), str(gate), title="endless")
    process = shell.start("work", "q", *ALLOW)
    wait_for_start(started)
    first = children(process)
    # when, then: what it would have to store nobody can store, so that it counts as lost with its worker
    wait_until(lambda: len(children(process)) == 1 and children(process) != first, "its process is replaced")
    process.terminate()
    code, _out, err = finish(process)
    assert code == 0, err
    assert "exceeded a task's lease_time" in err


def test_processes_that_stood_still_together_with_their_parent_are_not_taken_for_hanging(
    shell: Shell, queue: BatchQueue
) -> None:
    # given: Ctrl-Z, and a long time until "fg"
    program = ("-c", "import sys, taskqueue.worker.processes as p; p._SILENT = 1.0; "
               "sys.argv[0] = 'taskqueue'; from taskqueue.cli import main; main()")  # fmt: skip
    process = shell.start("work", "q", "--processes", "2", *ALLOW, program=program)
    wait_until(lambda: len(children(process)) == 2, "both are there")
    wait_until(lambda: states(queue) == {"serving"}, "they serve")
    before = children(process)
    # when
    for pid in (process.pid, *before):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    for pid in (process.pid, *before):
        os.kill(pid, signal.SIGCONT)
    # then
    fill(queue, 1)
    wait_until(lambda: journal(shell), "they go on")
    assert children(process) == before
    process.send_signal(signal.SIGTERM)
    code, _out, err = finish(process)
    assert code == 0 and "hangs" not in err


# --- refusals ---


def test_without_an_allow_list_it_refuses_to_start(shell: Shell, queue: BatchQueue) -> None:
    # given
    fill(queue, 1)
    # when
    line = refused(shell.run("work", "q"))
    # then
    assert "allow" in line
    assert (queue.get_statistic("ready"), journal(shell)) == (1, [])


@pytest.mark.parametrize(
    "args",
    [("no-such",), ("q", "--processes", "0"), ("q", "--threads", "x"), ("q", "--max-memory", "much"),
     ("q", "--max-memory", "0"), ("q", "--grace", "-1"), ("q", "--max-seconds", "nan"), ("q", "--prefetch", "0"),
     ("q", "--max-items", "0"), ("\x1b[31mq",)],
)  # fmt: skip
def test_a_bad_argument_is_one_line_and_exit_code_2(args: tuple[str, ...], here: Here, queue: BatchQueue) -> None:
    line = refused(here("work", *args, *ALLOW))
    assert line.isprintable()


def test_an_executor_that_cannot_be_had_is_said_and_ends_the_worker(shell: Shell, queue: BatchQueue) -> None:
    queue.enqueue(f"{JOBS}:append", "x")

    code, _out, err = finish(shell.start("work", "q", "--drain", "--processes", "2", "--executor", "foo", *ALLOW))

    assert code == 2
    assert err.splitlines()[-1].startswith("Error: an executor is named as"), err
    assert "replaced" not in err and "Traceback" not in err
    assert queue.number_of_items() == 1


def test_a_drain_that_leaves_items_on_a_queue_that_is_not_active_says_so(shell: Shell, service: QueueService) -> None:
    queue = service.create("Sql", "q", error="abort")
    for value in ("x", "y"):
        queue.enqueue(f"{JOBS}:append", value)
    queue.set_status("aborted")

    code, _out, err = finish(shell.start("work", "q", "--drain", *ALLOW))

    assert code == 1
    assert "queue 'q' is aborted and has 2 items left" in err
