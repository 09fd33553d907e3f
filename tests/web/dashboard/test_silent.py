"""Items whose holder is gone: the dashboard says so, offers to take over, and the old holder can do no harm (60)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import Any

import pytest
from playwright.sync_api import expect

from taskqueue.queues.sql_base import SqlBase
from tests.web.dashboard.board import Board, box, counter, line_of, notice, press, refresh_every, row, task
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.server import process_state


@pytest.mark.parametrize("kind", ["Sql", "SqlParallel"])
def test_given_a_worker_that_was_killed_when_its_item_is_taken_over_then_another_does_it(
    board: Board, kind: str
) -> None:
    # given
    queue, item_id, worker, pid = held_by_a_worker(board, kind)
    tab = board.open("items", queue=queue.name)
    expect(row(tab.page, item_id)).to_contain_text("Running")
    tab.goto(board.path(f"queues/{queue.name}/items/{item_id}"))
    expect(tab.page.locator(".tq-state").first).to_have_text("Running")
    expect(tab.page.get_by_role("button", name="Take over")).to_have_count(0)
    # when
    worker.kill()
    os.kill(pid, signal.SIGKILL)
    # then: its page, its line, and its queue say so; nothing says that it runs
    then_it_is_silent(board, tab, queue, item_id)
    # when
    tab.goto(board.path(f"queues/{queue.name}/items/{item_id}"))
    press(tab.page, "Take over")
    # then
    expect(notice(tab.page)).to_have_text("1: taken over.")
    expect(tab.page.locator(".tq-state").first).to_have_text("Waiting")
    tab.expect_text("user:admin")
    assert queue.statistics()["ready"] == 2 and queue.statistics()["leased"] == 0
    # when
    board.journal(queue).open_gate()
    board.work(queue)
    # then
    board.journal(queue).wait_for("end", number=2)
    assert board.journal(queue).starts() == {1: 2, 2: 1}
    deeds = board.read("audit", queue=queue.name)["audit"]
    assert [(deed["actor"], deed["action"], deed["item"]) for deed in deeds] == [("user:admin", "take_over", item_id)]


def test_given_a_zombie_when_it_wakes_up_after_a_take_over_then_it_changes_nothing(board: Board) -> None:
    # given
    queue, item_id, worker, pid = held_by_a_worker(board, "Sql")
    tab = board.open(f"queues/{queue.name}/items/{item_id}")
    stopped = {worker.pid, pid}
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    wait_until(lambda: {process_state(each) for each in stopped} == {"T"}, "it stands still")
    then_it_is_silent(board, tab, queue, item_id)
    tab.goto(board.path(f"queues/{queue.name}/items/{item_id}"))
    # when
    press(tab.page, "Take over")
    expect(notice(tab.page)).to_have_text("1: taken over.")
    mine = queue.claim_item()
    assert mine is not None and mine.id == item_id
    board.journal(queue).open_gate()
    for each in stopped:
        os.kill(each, signal.SIGCONT)
    board.journal(queue).wait_for("end", number=1)
    # then: it has come to its end, which nobody believes; what it did not hold it does not touch
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    assert next(item.id for item in queue.items()) == item_id and queue.number_of_items() == 2
    assert queue.fetch_item(item_id).fence == mine.fence  # type: ignore[union-attr]
    queue.extend_lease(mine)
    tab.reload()
    expect(tab.page.locator(".tq-state").first).to_have_text("Running")


def test_given_a_page_that_is_old_when_take_over_is_pressed_then_a_new_holder_keeps_the_item(board: Board) -> None:
    # given: silent when the page was drawn, and in other hands by now
    queue, item_id, worker, pid = held_by_a_worker(board, "SqlParallel")
    tab = board.open(f"queues/{queue.name}/items/{item_id}")
    worker.kill()
    os.kill(pid, signal.SIGKILL)
    then_it_is_silent(board, tab, queue, item_id)
    tab.goto(board.path(f"queues/{queue.name}/items/{item_id}"))
    refresh_every(tab.page, 0)
    other = board.open(f"queues/{queue.name}/items/{item_id}")
    press(other.page, "Take over")
    expect(notice(other.page)).to_have_text("1: taken over.")
    board.work(queue)
    board.journal(queue).wait_for("start", number=1, count=2)
    before = queue.fetch_item(item_id)
    # when
    press(tab.page, "Take over")
    # then
    expect(notice(tab.page)).to_contain_text("0 of 1: taken over.")
    after = queue.fetch_item(item_id)
    assert before is not None and after is not None and before.fence == after.fence
    expect(tab.page.locator(".tq-state").first).to_have_text("Running")


def test_given_a_silent_item_when_it_is_deleted_then_it_is_gone(board: Board) -> None:
    # given
    queue, item_id, worker, pid = held_by_a_worker(board, "SqlParallel")
    worker.kill()
    os.kill(pid, signal.SIGKILL)
    tab = board.open("items", queue=queue.name)
    then_it_is_silent(board, tab, queue, item_id)
    tab.goto(board.path("items", queue=queue.name))
    # when
    box(tab.page, item_id).check()
    press(tab.page, "Delete selected")
    press(tab.page, "Delete")
    # then: nobody is there who could be asked to stop
    expect(notice(tab.page)).to_have_text("1: deleted.")


# --- helpers ---


def held_by_a_worker(board: Board, kind: str) -> tuple[SqlBase, int, subprocess.Popen[Any], int]:
    """A queue whose first item is held by a worker: its program, and the process that executes."""
    queue = board.queue(task("hold", 1, "Held"), task("ok", 2, "Next"), type=kind)
    worker = board.work(queue, threads=1)
    pid = board.journal(queue).wait_for("start", number=1)["pid"]
    (item_id,) = [item.id for item in queue.items() if item.title == "Held"]
    return queue, item_id, worker, pid


def then_it_is_silent(board: Board, tab: Tab, queue: SqlBase, item_id: int) -> None:
    def is_silent() -> bool:
        found = board.read("items", queue=queue.name)["items"]
        return [each["state"] for each in found if each["id"] == item_id] == ["silent"]

    wait_until(is_silent, "the holder counts as silent")
    tab.goto(board.path("items", queue=queue.name))
    expect(row(tab.page, item_id)).to_contain_text("No sign of life")
    expect(row(tab.page, item_id)).not_to_contain_text("Running")
    tab.goto(board.path(f"queues/{queue.name}/items/{item_id}"))
    expect(tab.page.locator(".tq-state").first).to_have_text("No sign of life")
    expect(tab.page.get_by_role("button", name="Take over")).to_be_visible()
    board.look_anew()
    tab.goto(board.path())
    line = line_of(tab.page, queue.name)
    expect(line).to_contain_text(re.compile("No sign of life for"))
    tab.goto(board.path(f"queues/{queue.name}"))
    tab.expect_text(re.compile("has given no sign of life"))
    expect(counter(tab.page, "running")).to_have_text("1")
