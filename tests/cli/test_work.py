"""``taskqueue work`` in processes of its own: limits, signals, processes that are killed, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Task
from taskqueue.worker import roster
from tests.cli.conftest import JOBS, Here, Shell, children, refused

ALLOW = ("--allow", JOBS)
NOTHING_HELD = {"blocked": 0, "leased": 0, "delayed": 0, "dead": 0}
DEADLINE = 20.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process still does something."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def journal(shell: Shell) -> list[str]:
    """What tasks have written, in order."""
    path = shell.folder / "journal"
    return path.read_text().split() if path.exists() else []


def wait_for_start(started: Path) -> None:
    """Wait until a task has said that it has started; the next one will say so anew."""
    wait_until(started.exists, "the task has started")
    started.unlink()


def fill(queue: BatchQueue, number: int = 20) -> None:
    queue.create_items(Task(f"{JOBS}:append", (str(n),)) for n in range(number))


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


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


def at_work(shell: Shell, queue: BatchQueue, callback: str, *options: str) -> subprocess.Popen[str]:
    """A command whose one process has a task in hand, and others leased ahead behind it."""
    started = shell.folder / "started"
    fill(queue, 30)
    args = (str(started), str(shell.fifo("gate"))) if callback == "until_opened" else (str(started),)
    queue.create_item(Task(f"{JOBS}:{callback}", args, "the blocker"))
    fill(queue, 10)
    process = shell.start("work", "q", *ALLOW, *options)
    wait_for_start(started)
    return process


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


def states(queue: BatchQueue) -> set[str]:
    service = QueueService(queue.database.url)  # type: ignore[attr-defined]
    try:
        return {info.state for info in roster.workers(service)}
    finally:
        service.close()


def assert_given_back(queue: BatchQueue) -> None:
    assert queue.statistics() == {"total": 11, "ready": 11, **NOTHING_HELD}
    assert {(item.run_count, item.interruptions, item.failures) for item in queue.items()} == {(0, 0, 0)}
    assert next(queue.items()).title == "the blocker"


def test_a_second_signal_ends_a_task_that_holds_the_one_writer_of_sqlite(shell: Shell, queue: BatchQueue) -> None:
    # given
    started = shell.folder / "started"
    queue.enqueue(f"{JOBS}:until_opened_in_transaction", str(started), str(shell.fifo("gate")))
    process = shell.start("work", "q", *ALLOW, "--grace", "600")
    wait_for_start(started)
    # when
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals at the same moment would be one
    process.send_signal(signal.SIGTERM)
    # then
    began = time.monotonic()
    assert finish(process)[0] == 143
    assert time.monotonic() - began < 10
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


@pytest.mark.parametrize("where", ["plain", "in_transaction"])
def test_a_task_that_takes_too_long_is_ended_with_its_process_and_counts_as_failed(
    where: str, shell: Shell, service: QueueService
) -> None:
    # given
    queue = service.create("Sql", "q", lease_time=1, error="dead")
    started, gate = shell.folder / "started", shell.fifo("gate")
    suffix = "_in_transaction" if where == "in_transaction" else ""
    item = queue.enqueue(f"{JOBS}:until_opened{suffix}", str(started), str(gate), title="endless")
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


# --- refusals, and who is there ---


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


def test_workers_lists_who_is_there_and_what_they_have_in_hand(shell: Shell, here: Here, queue: BatchQueue) -> None:
    # given
    assert "no workers" in here("workers").stdout
    assert json.loads(here("workers", "--json").stdout) == []
    process = at_work(shell, queue, "until_stopped")
    # when
    (info,) = json.loads(here("workers", "--json").stdout)
    table = here("workers").stdout
    # then
    (child,) = children(process)
    assert (info["pid"], info["queues"], info["threads"], info["state"]) == (child, ["q"], 1, "serving")
    assert "the blocker" in [item["title"] for item in info["items"]]
    assert str(child) in table and "the blocker" in table and "serving" in table
    # and when it is killed, with its parent
    process.kill()
    os.kill(child, signal.SIGKILL)
    service = QueueService(shell.url)
    service.database.statement(lambda tx: tx.change("UPDATE {holder} SET beat_time = beat_time - 30000"))
    service.close()
    # then
    assert json.loads(here("workers", "--json").stdout)[0]["state"] == "silent"


@pytest.mark.parametrize(
    "facts",
    ["", "[]", "7", '{"pid": "x", "threads": null, "queues": 5, "host": 7, "state": []}',
     '{"queues": ["no-such", "../..", "\\u001b[31m", 7, null]}', '{"host": "\\u001b]0;x\\u0007\\u202e"}', "{"],
)  # fmt: skip
def test_damaged_facts_of_a_worker_neither_break_nor_fool_the_list(facts: str, here: Here, queue: BatchQueue) -> None:
    # given
    database = queue.database  # type: ignore[attr-defined]
    database.statement(
        lambda tx: tx.change(
            "INSERT INTO {holder} (token, label, start_time, beat_time, beat_period, worker) "
            "VALUES ('0123456789abcdef', 'x', {now}, {now}, 3000, :facts)", facts=facts,
        )
    )  # fmt: skip
    # when
    results = here("workers"), here("workers", "--json")
    # then
    for result in results:
        assert result.exit_code == 0, result.stderr or result.exception
        assert all(char.isprintable() or char == "\n" for char in result.stdout)


def test_hostile_titles_are_printed_harmlessly(here: Here, queue: BatchQueue) -> None:
    # given
    queue.create_item(Task(f"{JOBS}:ok", (), "\x1b[2J\u202eevil\nline\x9b"))
    service = QueueService(queue.database.url)  # type: ignore[attr-defined]
    roster.sign_of_life(service, ["q"], 1, "serving")
    assert queue.claim_item() is not None
    # when
    result = here("workers")
    service.close()
    # then
    assert "evil" in result.stdout
    assert all(char.isprintable() or char == "\n" for char in result.stdout)
