"""Each task is executed once and one at a time, whatever happens to the page, the proxy and the server (part A)."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.web.setups import PATIENT_GUNICORN, everywhere, in_both_modes, on_databases, widely
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

#: Of the usual settings.
STALE_AFTER, HEARTBEAT = 2.0, 0.5
RISKY = {"Retry", "Skip", "Take over"}


@everywhere
def test_given_120_quick_tasks_when_started_then_each_runs_once_in_few_requests(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 120}, start=False)
    tab = site.open(run)
    tab.expect_status("ready")
    assert run.journal.lines() == [], "the GET has executed something"
    # when
    tab.press("Start")
    tab.expect_status("completed")
    # then
    assert tab.percent == 100
    run.journal.assert_each_once(range(1, 121))
    run.journal.assert_no_overlap()
    run.journal.assert_order()
    assert 1 <= len(site.proxy.drives()) <= 15, site.proxy.tail()


@widely
def test_given_an_impatient_proxy_when_a_task_takes_long_then_it_is_seen_to_run_and_runs_once(site: Site) -> None:
    # given: 504 for whatever takes longer than a part of the budget
    site.complaints.allow_statuses(504)
    fault = site.proxy.timeout(0.3, r"/drive$")
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 3})
    # when
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    wait_until(lambda: any(seen.status == 504 for seen in fault.hits), "504", explain=site.proxy.tail)
    # then: for longer than it takes to call a holder dead
    tab.expect_text(re.compile("still running.*heartbeat", re.IGNORECASE))
    watch(tab, STALE_AFTER + 0.5, never=RISKY)
    run.journal.open_gate()
    tab.expect_status("completed")
    then_all_ran_once(run, 5)


@in_both_modes
def test_given_a_long_task_when_the_page_is_reloaded_again_and_again_then_it_tells_the_truth(site: Site) -> None:
    # given
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    for _ in range(5):
        # when
        tab.reload()
        # then
        tab.expect_text(re.compile("Running: .*Task 2"))
        assert tab.status == "running"
        assert not tab.buttons() & RISKY
    run.journal.open_gate()
    tab.expect_status("completed")
    then_all_ran_once(run, 3)


@widely
def test_given_a_driving_page_when_reloaded_then_it_goes_on_at_once(site: Site) -> None:
    # given: what drives is the tab, not the page load, else the run would wait until the one before counts as gone
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 3})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    tab.expect_text(re.compile("Running: .*Task 2"))
    # when
    run.journal.open_gate()
    reloaded = time.monotonic()
    tab.reload()
    # then: well before the slot of a driver that is gone lapses
    run.journal.wait_for("start", number=3)
    assert time.monotonic() - reloaded < STALE_AFTER - HEARTBEAT
    tab.expect_status("completed")
    then_all_ran_once(run, 5)


@in_both_modes
def test_given_a_running_page_when_a_second_tab_opens_then_it_watches_and_both_see_the_end(site: Site) -> None:
    # given
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "sleep", "seconds": 0.1, "times": 8})
    first = site.open(run)
    run.journal.wait_for("start", number=2)
    # when
    second = site.open(run)
    # then
    second.expect_text(re.compile("you are watching", re.IGNORECASE))
    assert not second.buttons() & RISKY
    run.journal.open_gate()
    for tab in (first, second):
        tab.expect_status("completed")
    then_all_ran_once(run, 10)


@in_both_modes
def test_given_a_closed_browser_when_it_is_opened_again_then_nothing_was_lost_or_doubled(site: Site) -> None:
    # given
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "sleep", "seconds": 0.15, "times": 6})
    site.open(run)
    run.journal.wait_for("start", number=2)
    # when: the slice that is at work may come to its end, then nobody drives
    site.admin.close_tabs()
    run.journal.open_gate()
    wait_until(lambda: not run.state()["driver"]["alive"], "nobody drives any more", explain=run.explain)
    left_off = run.journal.wait_until_quiet()
    assert len(left_off) < 8, "the run went on to its end with nobody there"
    # then: looking executes nothing
    for path in (run.url, run.url + "?nojs=1", run.url + "/state", run.url + "/log"):
        assert site.admin.get(path).status == 200
    assert run.journal.wait_until_quiet() == left_off
    tab = site.open(run)
    tab.expect_status("completed")
    then_all_ran_once(run, 8)


@widely
def test_given_a_killed_server_when_it_is_back_then_its_task_can_be_taken_over_and_skipped(site: Site) -> None:
    # given
    site.complaints.allow_statuses(502, 503)
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 2})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    # when
    killed = time.monotonic()
    site.server.kill()
    site.server.restart()
    # then
    wait_for_take_over(tab, killed)
    tab.expect_text(re.compile("no sign of life", re.IGNORECASE))
    assert run.journal.starts() == {1: 1, 2: 1}
    # when
    tab.press("Take over")
    tab.confirm()
    tab.expect_status("blocked")
    assert run.journal.starts() == {1: 1, 2: 1}, "Take over has executed something"
    tab.press("Skip")
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 1, 3: 1, 4: 1}
    assert run.journal.numbers("end") == [1, 3, 4]
    assert run.state()["progress"]["skipped"] == 1


@pytest.mark.parametrize("setup", [PATIENT_GUNICORN], ids=str, indirect=True)
def test_given_a_frozen_process_when_taken_over_and_retried_then_its_late_result_changes_nothing(site: Site) -> None:
    # given: the process that executes the task stands still, the others serve on
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "hold", "gate": "third"}, {"kind": "ok"})
    tab = site.open(run)
    zombie = run.journal.wait_for("start", number=2)["pid"]
    frozen = time.monotonic()
    os.kill(zombie, signal.SIGSTOP)
    wait_for_take_over(tab, frozen)
    # when
    tab.press("Take over")
    tab.confirm()
    tab.expect_status("blocked")
    run.journal.open_gate()
    tab.press("Retry")
    run.journal.wait_for("start", number=3)
    wait_until(lambda: run.state()["progress"]["done"] == 2, "two are done", explain=run.explain)
    os.kill(zombie, signal.SIGCONT)
    # then
    assert run.journal.wait_for("end", number=2, count=2)["pid"] == zombie
    watch(tab, 1.5, never=RISKY)
    assert run.state()["progress"]["done"] == 2
    assert run.journal.starts() == {1: 1, 2: 2, 3: 1}
    run.journal.open_gate("third")
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 2, 3: 1, 4: 1}


@on_databases
def test_given_a_queue_held_by_a_terminal_when_its_page_is_opened_then_it_only_watches(site: Site) -> None:
    # given
    queue = site.make_queue({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 2})
    program = site.start_program("run", queue.queue)
    queue.journal.wait_for("start", number=2)
    # when
    run = site.make(queue=queue.queue)
    tab = site.open(run)
    # then
    tab.expect_text(re.compile("you are watching.*taskqueue run", re.IGNORECASE))
    watch(tab, STALE_AFTER + 0.5, never=RISKY | {"Start"})
    assert site.proxy.drives() == [], "the page has asked for work"
    run.journal.open_gate()
    output, _ = program.communicate(timeout=20)
    assert program.returncode == 0, output
    tab.expect_status("completed")
    then_all_ran_once(run, 4)
    assert {line["pid"] for line in run.journal.lines("start")} == {program.pid}


@widely
def test_given_an_end_step_when_two_tabs_and_a_reload_see_the_end_then_it_is_called_once(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 3}, on_end="end_hold")
    tabs = [site.open(run), site.open(run)]
    run.journal.wait_for("start", number=0)
    for tab in tabs:
        tab.expect_status("finishing")
        assert tab.percent < 100
    # when: the first page load is gone for longer than it counts as the one that drives
    tabs[0].reload()
    watch(tabs[1], STALE_AFTER + 0.5, never=RISKY)
    run.journal.open_gate("end")
    tabs[1].reload()
    # then
    for tab in tabs:
        tab.expect_status("completed")
        tab.reload()
        tab.expect_status("completed")
        assert tab.percent == 100
    run.journal.assert_each_once([0, 1, 2, 3])
    run.journal.assert_no_overlap()
    assert run.journal.numbers("start")[-1] == 0


@in_both_modes
def test_given_an_end_step_that_fails_when_retried_then_only_it_runs_again(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 2}, on_end="end_fail_until")
    tab = site.open(run)
    tab.expect_status("blocked")
    tab.expect_button("Retry")
    assert run.journal.starts() == {1: 1, 2: 1, 0: 1}
    # when
    run.journal.mark("end")
    tab.press("Retry")
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 1, 0: 2}
    run.journal.assert_no_overlap()


@pytest.mark.parametrize("use", ["mouse", "keyboard"])
def test_given_a_held_answer_when_the_button_is_pressed_again_then_nothing_runs_twice(site: Site, use: str) -> None:
    # given
    run = site.make({"kind": "ok", "times": 3}, start=False)
    tab = site.open(run)
    answer = site.proxy.hold_answer(r"/start$")
    # when
    if use == "mouse":
        tab.button("Start").dblclick()
    else:
        tab.button("Start").press("Enter")
        tab.page.keyboard.press("Enter")
    answer.wait_for_hit()
    answer.end()
    # then
    tab.expect_status("completed")
    then_all_ran_once(run, 3)
    assert len(site.proxy.seen(r"/start$")) == 1, site.proxy.tail()


def then_all_ran_once(run: Run, count: int) -> None:
    run.journal.assert_each_once(range(1, count + 1))
    run.journal.assert_no_overlap()
    run.journal.assert_order()


def wait_for_take_over(tab: Tab, since: float) -> None:
    """Wait until it is offered: not before the latest sign of life is old (on a busy machine beats lag)."""
    wait_until(lambda: "Take over" in tab.buttons(), "Take over is offered")
    waited = time.monotonic() - since
    assert waited > STALE_AFTER - HEARTBEAT - 0.5, f"Take over was offered after {waited:.2f} s"


def watch(tab: Tab, seconds: float, *, never: set[str]) -> None:
    """Look at the page for a while: none of these buttons may ever show."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        offered = tab.buttons() & never
        assert not offered, f"the page offers {offered}"
        tab.pause(0.05)
