"""``add``, ``pause``, ``resume``, ``skip``, ``reset``, ``delete``, ``dead revive|delete`` and ``db upgrade``."""

from __future__ import annotations

import json
import os
import pty

import pytest

from taskqueue import BatchQueue, QueueService, Runner
from tests.cli.conftest import JOBS, Here, Shell

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"


def test_add_stores_the_task_as_told(here: Here, queue: BatchQueue) -> None:
    # when
    result = here("add", "q", OK, "17", '"text"', '{"a": [1.5, null]}', "--title", "a title", "--weight", "-2")
    # then
    item = next(queue.items())
    assert (result.exit_code, result.stdout) == (0, f"Added item {item.id} 'a title' to queue 'q'.\n")
    assert (item.data.callback, item.data.args) == (OK, (17, "text", {"a": [1.5, None]}))
    assert (item.title, item.weight, item.release_time) == ("a title", -2, None)


def test_add_takes_negative_numbers_and_a_delay(here: Here, queue: BatchQueue) -> None:
    # when
    result = here("add", "q", "--delay", "60", "--json", "--", OK, "-1.5")
    # then
    item = next(queue.items())
    assert item.data.args == (-1.5,)
    assert item.release_time is not None
    assert (item.release_time - item.submit_time).total_seconds() == 60
    assert json.loads(result.stdout)["id"] == item.id


def test_add_makes_database_and_queue_when_given_a_type(here: Here, shell: Shell, service: QueueService) -> None:
    # given
    assert not (shell.folder / "taskqueue.db").exists()
    # when
    results = [here("add", "new", OK, "--type", "SqlParallel") for _time in range(2)]
    # then
    assert [result.exit_code for result in results] == [0, 0]
    queue = service.load("new")
    assert (queue.spec.type, queue.number_of_items()) == ("SqlParallel", 2)


def test_a_callback_beside_the_user_is_found(shell: Shell, queue: BatchQueue) -> None:
    # given
    (shell.folder / "beside.py").write_text("def f(ctx): pass")
    # when
    result = shell.run("add", "q", "beside:f")
    # then
    assert (result.returncode, queue.number_of_items()) == (0, 1)


@pytest.mark.parametrize(("command", "status"), [("pause", "paused"), ("resume", "active")])
@pytest.mark.parametrize("before", ["active", "paused", "aborted", "draft", "completed"])
def test_pause_and_resume_set_the_status(command: str, status: str, before: str, here: Here, queue: BatchQueue) -> None:
    # given
    queue.set_status(before)
    # when
    text = here(command, "q")
    # then
    assert (text.exit_code, queue.status) == (0, status)
    assert before in text.stdout
    assert json.loads(here(command, "q", "--json").stdout) == {"queue": "q", "status": status, "was": status}


def test_skip_removes_the_head_on_record(here: Here, queue: BatchQueue) -> None:
    # given
    first, second = (queue.enqueue(OK, title=title) for title in ("first", "second"))
    # when
    text, facts = here("skip", "q", "--yes"), here("skip", "q", "--yes", "--json")
    # then
    assert text.stdout == "Skipped 'first'; queue 'q' has 1 item left.\n"
    assert json.loads(facts.stdout)["skipped"] == 1
    assert [queue.outcome_of(item.id) for item in (first, second)] == ["skipped", "skipped"]


def test_skip_of_an_item_in_other_hands_is_refused(here: Here, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK)
    queue.claim_item()
    # when
    result = here("skip", "q", "--yes")
    # then
    assert result.exit_code == 2
    assert "somebody else holds it" in result.stderr
    assert queue.statistics()["leased"] == 1


def test_reset_empties_and_delete_removes(here: Here, service: QueueService) -> None:
    # given
    queue = _with_dead_letter(service)
    queue.create_items([1, 2])
    # when
    reset = here("reset", "q", "--yes")
    # then
    assert reset.stdout == "Threw away 2 items and 1 dead letter of queue 'q'.\n"
    assert (queue.number_of_items(), queue.dead_items(), service.exists("q")) == (0, [], True)
    # given
    queue.create_items([1, 2, 3])
    # when
    deleted = here("delete", "q", "--yes", "--json")
    # then
    assert json.loads(deleted.stdout) == {"queue": "q", "removed": 3}
    assert not service.exists("q")


@pytest.mark.parametrize("command", ["reset", "delete", "skip"])
@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 1, 1), ("\x04", 130, 1)])
def test_a_human_at_a_terminal_is_asked(
    command: str, answer: str, code: int, left: int, shell: Shell, service: QueueService, queue: BatchQueue
) -> None:
    # given
    queue.enqueue(OK, title="the only one")
    ours, theirs = pty.openpty()
    # when
    process = shell.start(command, "q", stdin=theirs)
    os.close(theirs)
    os.write(ours, answer.encode() + (b"\n" if answer.isalpha() else b""))
    _out, err = process.communicate(timeout=30)
    os.close(ours)
    # then
    assert process.returncode == code
    assert "[y/N]" in err
    assert ("1 item" in err) or ("the only one" in err)
    remaining = service.load("q").number_of_items() if service.exists("q") else 0
    assert remaining == left


def test_dead_letters_are_revived_and_deleted_by_id(here: Here, service: QueueService) -> None:
    # given
    queue = _with_dead_letter(service, 3)
    first, second, third = (str(letter.id) for letter in queue.dead_items())
    # when
    revived, deleted = here("dead", "revive", "q", first, third), here("dead", "delete", "q", second)
    # then
    assert revived.stdout == "Revived 2 dead letters of queue 'q'.\n"
    assert deleted.stdout == "Deleted 1 dead letter of queue 'q'.\n"
    assert ([str(item.id) for item in queue.items()], queue.dead_items()) == ([first, third], [])


@pytest.mark.parametrize(("command", "key", "left"), [("revive", "revived", 3), ("delete", "deleted", 0)])
def test_all_dead_letters_at_once(command: str, key: str, left: int, here: Here, service: QueueService) -> None:
    # given
    queue = _with_dead_letter(service, 3)
    # when
    result = here("dead", command, "q", "--all", "--yes", "--json")
    # then
    assert json.loads(result.stdout) == {"queue": "q", key: 3}
    assert (queue.number_of_items(), queue.dead_items()) == (left, [])


@pytest.mark.parametrize("command", ["revive", "delete"])
def test_one_unknown_id_among_dead_letters_changes_nothing(command: str, here: Here, service: QueueService) -> None:
    # given
    queue = _with_dead_letter(service)
    known = queue.dead_items()[0].id
    # when
    result = here("dead", command, "q", str(known), "12345")
    # then
    assert result.exit_code == 2
    assert "12345" in result.stderr
    assert queue.statistics()["dead"] == 1


def test_db_upgrade_makes_the_tables_and_says_so(here: Here, shell: Shell) -> None:
    # when
    first, second = here("db", "upgrade"), here("db", "upgrade", "--json")
    # then
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.startswith("Created")
    assert "up to date" in json.loads(second.stdout)["message"]
    assert (shell.folder / "taskqueue.db").exists()


def _with_dead_letter(service: QueueService, number: int = 1) -> BatchQueue:
    queue = service.create("Sql", "q", error="dead")
    for _letter in range(number):
        queue.enqueue(BAD)
    Runner(queue).run_all()
    assert queue.statistics()["dead"] == number
    return queue
