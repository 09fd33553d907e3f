"""Retry, Skip, Pause, Abort: a human's decision takes place once, on the very item that they saw (part B)."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import expect

from taskqueue import QueueService, Task
from taskqueue.runs.store import Runs
from tests.web.conftest import Sites
from tests.web.setups import MARIADB, SQLITE, on_databases
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

#: The one who may see the runs of terminals, too.
SEES_ALL = {"TEST_AUTHORIZE": {"admin": ["*"]}}
#: Clicks each Retry button in the moment in which it appears, as the second half of a slow double click does.
_CLICK_WHAT_APPEARS = """() => {
  const seen = new Set(document.querySelectorAll("button"));
  new MutationObserver(() => {
    for (const button of document.querySelectorAll("button")) {
      if (seen.has(button) || button.textContent !== "Retry") continue;
      seen.add(button);
      button.click();
    }
  }).observe(document.body, {childList: true, subtree: true});
}"""


def shared(name: str, *values: str) -> pytest.MarkDecorator:
    """One variant on each database: every one of them on all would take a minute more, and find no more."""
    pairs = list(zip((SQLITE, MARIADB), values, strict=True))
    return pytest.mark.parametrize(("setup", name), pairs, ids=str, indirect=["setup"])


# --- Skip and Retry, each on the item that was seen ---


@on_databases
def test_given_a_failed_task_when_skipped_then_it_alone_is_left_out_and_the_log_names_it(site: Site) -> None:
    # given
    run = site.make({"kind": "fail", "title": "Bad row"}, {"kind": "ok", "times": 2})
    tab = site.open(run)
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text("Bad row")
    expect(tab.alert).to_contain_text("boom")
    assert tab.buttons() == {"Retry", "Skip", "Abort"}
    # when
    tab.press("Skip")
    # then
    tab.expect_status("completed")
    tab.expect_text("2 of 3 tasks, 1 skipped")
    expect(log_of(tab)).to_contain_text("Skipped: Bad row")
    assert run.journal.starts() == {1: 1, 2: 1, 3: 1}
    assert run.journal.numbers("end") == [2, 3]
    assert tab.percent == 100
    assert tab.buttons() == set()
    then_counts(run, done=2, skipped=1, failed=0, total=3)


@pytest.mark.parametrize(
    ("setup", "meanwhile"),
    [(SQLITE, "the next task failed"), (MARIADB, "the next task failed"), (SQLITE, "it failed again")],
    ids=str, indirect=["setup"],
)  # fmt: skip
def test_given_a_frozen_tab_when_it_skips_what_has_moved_on_then_it_is_refused_and_shows_the_truth(
    site: Site, meanwhile: str
) -> None:
    # given: two tabs on the failed task 1; B's clock stands still, as that of a tab that the browser has put to sleep
    site.complaints.allow_statuses(409)
    run = site.make({"kind": "fail_until"}, {"kind": "fail", "message": "boom 2"}, {"kind": "ok"})
    a, b = site.open(run), site.open(run)
    b.page.clock.install()
    b.reload()
    for tab in (a, b):
        tab.expect_status("blocked")
        expect(tab.alert).to_contain_text("Task 1")
    b.page.clock.pause_at(b.page.evaluate("Date.now()") + 1000)
    # when: A retries
    if meanwhile == "the next task failed":
        run.journal.mark()
        a.press("Retry")
        expect(a.alert).to_contain_text("Task 2")
        failed_now = 2
    else:
        a.press("Retry")
        run.journal.wait_for("fail", number=1, count=2)
        a.expect_status("blocked")
        a.expect_button("Retry")
        failed_now = 1
    run.wait_for_status("blocked")
    before = run.state()
    # when: B, which still shows how it was
    expect(b.alert).to_contain_text("Task 1")
    b.press("Skip")
    # then
    b.expect_text(re.compile("moved on"))
    expect(b.alert).to_contain_text(f"Task {failed_now}")
    assert [seen.status for seen in site.proxy.seen(r"/skip$")] == [409]
    after = run.state()
    assert after["problem"] == before["problem"]
    assert after["progress"] == before["progress"]
    assert run.journal.numbers("start")[-1] == failed_now
    # when: now it means what it shows
    b.page.clock.resume()
    b.press("Skip")
    # then
    if failed_now == 1:
        expect(b.alert).to_contain_text("Task 2")
        b.press("Skip")
    for tab in (a, b):
        tab.expect_status("completed")
    assert run.journal.starts() == {1: 2, 2: 1, 3: 1}
    assert run.state()["progress"]["skipped"] == (1 if failed_now == 2 else 2)


@on_databases
@pytest.mark.parametrize("verb", ["Retry", "Skip"])
def test_given_an_answer_that_is_lost_when_the_page_sends_it_again_then_it_was_done_once(site: Site, verb: str) -> None:
    # given
    site.complaints.allow_lost_connections()
    run = site.make({"kind": "fail", "times": 2}, {"kind": "ok"})
    tab = site.open(run)
    tab.expect_status("blocked")
    path = f"/{verb.lower()}$"
    lost = site.proxy.swallow(path, times=1)
    # when
    tab.press(verb)
    wait_until(lambda: [s.status for s in site.proxy.seen(path)] == [0, 200], "it is sent again", explain=run.explain)
    # then: the same request, which the application did once
    assert lost.hits[0].upstream_status == 200
    ids = {json.loads(seen.body)["request_id"] for seen in site.proxy.seen(path)}
    assert len(ids) == 1
    failed = 1 if verb == "Retry" else 2
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text(f"Task {failed}")
    run.journal.wait_until_quiet(0.4)
    assert run.journal.starts() == ({1: 2} if verb == "Retry" else {1: 1, 2: 1})
    assert run.state()["progress"]["skipped"] == (0 if verb == "Retry" else 1)
    assert len(site.proxy.seen(path)) == 2
    expect(tab.announcements).not_to_contain_text("moved on")


@pytest.mark.parametrize(
    ("setup", "how"),
    [(SQLITE, "double click"), (MARIADB, "double click"), (SQLITE, "slow double click"), (SQLITE, "Enter held down")],
    ids=str, indirect=["setup"],
)  # fmt: skip
def test_given_a_failed_task_when_retry_is_pressed_in_haste_then_there_is_one_attempt_more(
    site: Site, how: str
) -> None:
    # given
    run = site.make({"kind": "fail"}, {"kind": "ok"})
    tab = site.open(run)
    tab.expect_status("blocked")
    retry = tab.button("Retry")
    # when
    if how == "double click":
        retry.dblclick()
    elif how == "slow double click":
        tab.page.evaluate(_CLICK_WHAT_APPEARS)
        retry.click()
    else:
        retry.focus()
        for _ in range(15):
            tab.page.keyboard.down("Enter")
            tab.pause(0.04)
        tab.page.keyboard.up("Enter")
    run.journal.wait_for("fail", count=2)
    tab.expect_status("blocked")
    tab.expect_button("Retry")
    # then
    tab.pause(0.5)
    assert run.journal.starts() == {1: 2}
    assert len(site.proxy.seen(r"/retry$")) == 1, site.proxy.tail()
    # when: pressed once more, it is not stuck
    tab.press("Retry")
    # then
    run.journal.wait_for("fail", count=3)


@on_databases
def test_given_a_task_in_hand_when_steal_or_skip_are_sent_by_hand_then_they_are_refused(site: Site) -> None:
    # given: the holder is alive, so the page offers neither
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    (held,) = run.state()["running"]
    # when
    for verb in ("steal", "skip", "retry"):
        for fence in (held["fence"], held["fence"] + 1):
            answer = by_hand(run, verb, item_id=held["item_id"], fence=fence)
            # then
            assert (answer["status"], answer["error"]["code"]) == (409, "moved_on"), (verb, fence)
            assert answer["snapshot"]["running"][0]["item_id"] == held["item_id"]
    run.journal.open_gate()
    tab.expect_status("completed")
    run.journal.assert_each_once([1, 2, 3])
    run.journal.assert_no_overlap()


# --- Pause and Abort ---


@on_databases
def test_given_a_task_in_hand_when_paused_then_it_ends_and_nothing_more_starts_until_resumed(site: Site) -> None:
    # given
    run, tab = a_task_in_hand(site)
    # when
    tab.press("Pause")
    # then
    tab.expect_status("paused")
    tab.expect_text("Pausing after: ")
    run.journal.open_gate()
    run.journal.wait_for("end", number=2)
    assert run.journal.wait_until_quiet(0.4) == [1, 2]
    tab.reload()
    tab.expect_status("paused")
    assert tab.buttons() == {"Resume", "Abort"}
    tab.expect_text("2 of 5 tasks")
    assert run.journal.starts() == {1: 1, 2: 1}
    # when
    tab.press("Resume")
    # then
    tab.expect_status("completed")
    then_all_ran_once(run, 5)


def test_given_two_tabs_when_one_pauses_then_the_other_resumes(site: Site) -> None:
    # given
    run, a = a_task_in_hand(site)
    b = site.open(run)
    b.expect_text(re.compile("you are watching", re.IGNORECASE))
    # when
    a.press("Pause")
    b.expect_button("Resume")
    run.journal.open_gate()
    run.journal.wait_for("end", number=2)
    b.press("Resume")
    # then
    for tab in (a, b):
        tab.expect_status("completed")
    then_all_ran_once(run, 5)


@on_databases
@pytest.mark.parametrize("rest", ["keep", "skip"])
def test_given_a_task_in_hand_when_aborted_then_its_end_is_recorded_and_the_rest_is_as_configured(
    sites: Sites, rest: str
) -> None:
    # given
    run, tab = a_task_in_hand(aborting(sites, rest))
    # when: asked, and not meant
    tab.press("Abort")
    dialog = tab.page.get_by_role("dialog")
    expect(dialog).to_contain_text("What is done stays done.")
    expect(dialog).to_contain_text("stay in the queue" if rest == "keep" else "are skipped")
    dialog.get_by_role("button", name="Go back").click()
    # then
    expect(dialog).to_be_hidden()
    assert (tab.status, run.state()["run"]["status"]) == ("running", "running")
    # when
    abort(tab)
    # then
    tab.expect_status("aborted")
    run.journal.open_gate()
    run.journal.wait_for("end", number=2)
    assert run.journal.wait_until_quiet(0.4) == [1, 2]
    kept = {"skipped": 0, "waiting": 3} if rest == "keep" else {"skipped": 3, "waiting": 0}
    then_counts(run, done=2, failed=0, total=5, **kept)
    then_left_in_the_queue(run, 3 if rest == "keep" else 0)
    for look in (lambda: None, tab.reload):
        look()
        tab.expect_text("2 of 5 tasks" if rest == "keep" else "2 of 5 tasks, 3 skipped")
        then_only_links_are_left(tab)
    assert tab.percent < 100
    assert run.journal.starts() == {1: 1, 2: 1}


@shared("rest", "keep", "skip")
def test_given_a_blocked_run_when_aborted_then_the_failed_task_shares_the_fate_of_the_rest(
    sites: Sites, rest: str
) -> None:
    # given
    run = aborting(sites, rest).make({"kind": "ok"}, {"kind": "fail"}, {"kind": "ok", "times": 3}, on_end="end")
    tab = run.site.open(run)
    tab.expect_status("blocked")
    # when
    abort(tab)
    # then
    tab.expect_status("aborted")
    then_only_links_are_left(tab)
    expect(tab.alert).to_have_count(0)
    kept = {"skipped": 0, "waiting": 4} if rest == "keep" else {"skipped": 4, "waiting": 0}
    then_counts(run, done=1, failed=0, total=5, **kept)
    then_left_in_the_queue(run, 4 if rest == "keep" else 0)
    assert run.journal.wait_until_quiet(0.4) == [1]


# --- failures that do not stop the run, and pauses between attempts ---


@shared("error", "delete", "dead")
def test_given_three_failures_when_completed_then_they_are_listed_and_retry_failed_runs_just_those(
    site: Site, error: str
) -> None:
    # given
    bad = {"kind": "fail_until", "title": "Row {number}", "message": "not yet"}
    run = site.make(
        *[{"kind": "ok", "times": 5}, bad, {"kind": "ok", "times": 5}, bad, {"kind": "ok", "times": 7}, bad],
        error_mode="continue", options={"error": error}, on_end="end",
    )  # fmt: skip
    failing = [6, 12, 20]
    # when
    tab = site.open(run)
    # then
    tab.expect_status("completed")
    tab.expect_text(re.compile("with 3 failures", re.IGNORECASE))
    tab.expect_text("17 of 20 tasks, 3 failed")
    failures = tab.page.get_by_role("region", name="3 tasks failed").get_by_role("listitem")
    assert failures.count() == 3
    for number, row in zip(failing, failures.all(), strict=True):
        expect(row).to_contain_text(f"Row {number}")
        expect(row).to_contain_text("not yet")
    assert run.journal.numbers("start") == [*range(1, 21), 0]
    # when: the cause is still there
    tab.press("Retry failed (3)")
    run.journal.wait_for("fail", count=6)
    # then
    tab.expect_status("completed")
    tab.expect_button("Retry failed (3)")
    assert failures.count() == 3
    then_counts(run, done=17, skipped=0, failed=3, total=20)
    # when
    run.journal.mark()
    tab.press("Retry failed (3)")
    run.journal.wait_for("end", number=20)
    # then
    tab.expect_status("completed")
    expect(failures).to_have_count(0)
    tab.expect_no_button("Retry failed (3)")
    tab.expect_text("20 of 20 tasks")
    assert tab.percent == 100
    then_counts(run, done=20, skipped=0, failed=0, total=20)
    assert run.journal.starts() == {n: 3 if n in failing else 1 for n in range(21)}
    run.journal.assert_no_overlap()
    then_left_in_the_queue(run, 0)


@shared("decision", "Retry", "Skip")
def test_given_a_task_that_waits_for_its_retry_when_decided_then_it_waits_no_longer(site: Site, decision: str) -> None:
    # given
    options = {"retry_limit": 4, "retry_interval": 40, "retry_backoff": 2}
    run = site.make({"kind": "fail_until"}, {"kind": "ok"}, options=options)
    tab = site.open(run)
    # then: it tells how long, and counts down
    tab.expect_text(re.compile(r"Next retry in (4\d|3\d) s \(attempt 2 of 5\)"))
    tab.expect_status("running")
    first = seconds_until_retry(tab)
    wait_until(lambda: seconds_until_retry(tab) < first, "it counts down", explain=run.explain)
    assert tab.buttons() == {"Retry", "Skip", "Pause", "Abort"}
    # when: not mended yet
    if decision == "Retry":
        tab.press("Retry")
        # then: that was the second attempt, and the next pause is longer
        run.journal.wait_for("fail", count=2)
        tab.expect_text(re.compile(r"Next retry in 1 min 2\d s \(attempt 3 of 5\)"))
        run.journal.mark()
    # when
    tab.press(decision)
    # then
    tab.expect_status("completed")
    attempts = [line["attempt"] for line in run.journal.lines("start", number=1)]
    assert attempts == ([1, 2, 3] if decision == "Retry" else [1])
    assert run.journal.starts()[2] == 1
    run.journal.assert_no_overlap()
    assert run.state()["progress"]["skipped"] == (0 if decision == "Retry" else 1)


@on_databases
def test_given_a_task_that_waits_for_its_retry_when_nobody_does_anything_then_it_is_tried_again(site: Site) -> None:
    # given
    options = {"retry_limit": 4, "retry_interval": 1}
    run = site.make({"kind": "fail_until"}, {"kind": "ok"}, options=options)
    tab = site.open(run)
    run.journal.wait_for("fail", number=1)
    tab.expect_text(re.compile(r"Next retry (in 1 s|now) \(attempt 2 of 5\)"))
    run.journal.mark()
    # when
    tab.expect_status("completed")
    # then
    first, second = run.journal.lines("start", number=1)
    assert second["attempt"] == 2
    assert 1 <= second["at"] - first["at"] < 3
    assert run.journal.numbers("end") == [1, 2]


# --- what may not run, and the step after the last task ---


@on_databases
def test_given_a_task_that_may_not_run_when_retried_and_skipped_then_it_is_counted_once_and_never_runs(
    site: Site,
) -> None:
    # given: queued by somebody who may not name what runs here
    run = site.make({"kind": "ok"}, on_end="end")
    with service_of(site) as service:
        queue = service.load(run.queue)
        refused = queue.create_item(Task("os:getpid", title="Foreign")).id
        queue.create_item(Task("tests.web.tasks:ok", (3,), "Task 3"))
        # when
        tab = site.open(run)
        # then
        tab.expect_status("blocked")
        expect(tab.alert).to_contain_text("Cannot be run")
        expect(tab.alert).to_contain_text("Foreign")
        assert [dead.id for dead in queue.dead_items()] == [refused]
        before = run.state()["problem"]
        assert before["kind"] == "missing_callback"
        # when
        tab.press("Retry")
        # then: it is refused again, which is another decision
        wait_until(lambda: is_another_problem(run, before), "it is refused again", explain=run.explain)
        tab.expect_status("blocked")
        assert by_hand(run, "skip", item_id=refused, fence=before["fence"])["status"] == 409
        tab.press("Skip")
        # then
        tab.expect_status("completed")
        tab.expect_text(re.compile("with 1 failure ", re.IGNORECASE))
        tab.expect_button("Retry failed (1)")
        expect(tab.page.get_by_role("region", name="1 task failed").get_by_role("listitem")).to_have_count(1)
        then_counts(run, done=2, skipped=0, failed=1, total=3)
        run.journal.assert_each_once([1, 3, 0])
        assert [dead.id for dead in queue.dead_items()] == [refused]


@shared("decision", "Retry", "Skip")
def test_given_an_end_step_that_fails_when_decided_then_the_run_is_completed(site: Site, decision: str) -> None:
    # given
    run = site.make({"kind": "ok", "times": 2}, on_end="end_fail_until", on_end_url="/done")
    tab = site.open(run)
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text("the end failed")
    tab.expect_text("Last step, attempt 1")
    assert tab.percent < 100
    before = run.state()["problem"]
    # when: it fails again
    tab.press("Retry")
    run.journal.wait_for("fail", number=0, count=2)
    wait_until(lambda: is_another_problem(run, before), "it has failed again", explain=run.explain)
    tab.expect_status("blocked")
    # then: what was decided about the first failure does not concern the second
    assert by_hand(run, "skip", item_id=0, fence=before["fence"])["status"] == 409
    # when
    run.journal.mark("end")
    tab.press(decision)
    # then
    tab.page.wait_for_url("**/done")
    tab.goto(run.url)
    tab.expect_status("completed")
    assert tab.percent == 100
    assert run.journal.starts() == {1: 1, 2: 1, 0: 3 if decision == "Retry" else 2}
    run.journal.assert_no_overlap()


# --- others who work on the queue ---


@on_databases
def test_given_another_process_that_holds_the_head_when_a_page_asks_for_work_then_it_gets_none(site: Site) -> None:
    # given: a process that knows nothing of the run
    run = site.make({"kind": "hold"}, {"kind": "ok"})
    program = site.start_program("retry", run.queue)
    run.journal.wait_for("start", number=1)
    tab = site.open(run)
    tab.expect_text(re.compile("Running: .*Task 1"))
    assert tab.buttons() == {"Pause", "Abort"}
    # when: asked by hand, because the page does not
    for _ in range(3):
        assert by_hand(run, "drive")["status"] == 200
    # then
    assert site.proxy.drives() == []
    assert run.journal.starts() == {1: 1}
    run.journal.open_gate()
    then_it_ends(program, 0)
    tab.expect_status("completed")
    then_all_ran_once(run, 2)
    assert run.journal.lines("start", number=1)[0]["pid"] == program.pid


@shared("decision", "Retry", "Skip")
def test_given_another_process_that_aborts_the_queue_when_the_page_decides_then_the_run_goes_on(
    site: Site, decision: str
) -> None:
    # given
    run = site.make({"kind": "fail_until", "gate": "gate", "message": "boom"}, {"kind": "ok", "times": 2})
    program = site.start_program("retry", run.queue)
    run.journal.wait_for("start", number=1)
    tab = site.open(run)
    tab.expect_text(re.compile("Running: .*Task 1"))
    # when
    run.journal.open_gate()
    then_it_ends(program, 1)
    # then: the page says what happened, although nobody told the run
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text("Task 1")
    expect(tab.alert).to_contain_text("boom")
    assert run.journal.starts() == {1: 1}
    # when
    run.journal.mark()
    tab.press(decision)
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 2 if decision == "Retry" else 1, 2: 1, 3: 1}
    run.journal.assert_no_overlap()


@on_databases
def test_given_a_run_in_a_terminal_when_paused_and_resumed_on_its_page_then_the_page_carries_it_on(
    sites: Sites,
) -> None:
    # given
    site = sites(**SEES_ALL)
    run, program, tab = a_terminal_at_work(site, {"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 3})
    # when
    tab.press("Pause")
    tab.expect_status("paused")
    run.journal.open_gate()
    # then
    then_it_ends(program, 1, says="paused")
    assert run.journal.wait_until_quiet(0.4) == [1, 2]
    # when
    tab.press("Resume")
    # then
    tab.expect_status("completed")
    tab.expect_text("5 of 5 tasks")
    then_all_ran_once(run, 5)
    assert len({line["pid"] for line in run.journal.lines("start")}) == 2


@on_databases
def test_given_a_run_in_a_terminal_when_aborted_on_its_page_then_the_terminal_ends_after_the_task(
    sites: Sites,
) -> None:
    # given
    site = sites(**SEES_ALL)
    run, program, tab = a_terminal_at_work(site, {"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 3})
    # when
    abort(tab)
    tab.expect_status("aborted")
    run.journal.open_gate()
    # then
    then_it_ends(program, 1, says="abort")
    assert run.journal.wait_until_quiet(0.4) == [1, 2]
    then_counts(run, done=2, skipped=0, failed=0, total=5)
    then_only_links_are_left(tab)


@shared("decision", "Retry", "Skip")
def test_given_a_run_that_failed_in_a_terminal_when_decided_on_its_page_then_the_page_carries_it_on(
    sites: Sites, decision: str
) -> None:
    # given
    site = sites(**SEES_ALL)
    run, program, tab = a_terminal_at_work(
        site, {"kind": "ok"}, {"kind": "fail_until", "gate": "gate"}, {"kind": "ok", "times": 2}
    )
    run.journal.open_gate()
    then_it_ends(program, 1)
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text("Task 2")
    # when
    run.journal.mark()
    tab.press(decision)
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 2 if decision == "Retry" else 1, 3: 1, 4: 1}
    run.journal.assert_no_overlap()
    assert run.state()["progress"]["skipped"] == (0 if decision == "Retry" else 1)


# --- given ---


def a_task_in_hand(site: Site) -> tuple[Run, Tab]:
    """Task 2 of 5 stands at the gate."""
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 3})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    tab.expect_text(re.compile("Running: .*Task 2"))
    return run, tab


def aborting(sites: Sites, rest: str) -> Site:
    """A site with that setting of TASKQUEUE_ON_ABORT; "keep" is the default."""
    return sites() if rest == "keep" else sites(TASKQUEUE_ON_ABORT=rest)


def a_terminal_at_work(site: Site, *tasks: dict[str, Any]) -> tuple[Run, subprocess.Popen[str], Tab]:
    """``taskqueue run`` stands in task 2, and the page of its run is open."""
    queue = site.make_queue(*tasks)
    program = site.start_program("run", queue.queue)
    queue.journal.wait_for("start", number=2)
    with service_of(site) as service:
        (found,) = Runs(service.database, service.settings.codec).open_runs(queue.queue)
    run = Run(site, queue.queue, found.id, f"/queue/run/{found.id}", queue.journal, site.admin)
    tab = site.open(run)
    tab.expect_text(re.compile("Running: .*Task 2"))
    return run, program, tab


@contextmanager
def service_of(site: Site) -> Iterator[QueueService]:
    """The queues, as this process sees them."""
    service = QueueService(site.server.database_url, allow=["tests.web.tasks"])
    try:
        yield service
    finally:
        service.close()


# --- when ---


def abort(tab: Tab) -> None:
    """Press Abort, and mean it."""
    tab.press("Abort")
    tab.page.get_by_role("dialog").get_by_role("button", name="Abort").click()


def by_hand(run: Run, verb: str, **fields: Any) -> dict[str, Any]:
    """What the application answers to a request that no page has sent, with its status."""
    visitor = run.maker
    token = visitor.get("/queue/csrf").json()["csrf"]
    headers = {"X-CSRFToken": token, "X-Driver": "5" * 32, "Accept": "application/json"}
    url = run.site.direct_url + f"{run.url}/{verb}"
    answer = visitor.context.request.post(
        url, data={"request_id": secrets.token_hex(16), **fields}, headers=headers, max_redirects=0
    )
    return {"status": answer.status, **answer.json()}


# --- then ---


def then_all_ran_once(run: Run, count: int) -> None:
    run.journal.assert_each_once(range(1, count + 1))
    run.journal.assert_no_overlap()
    run.journal.assert_order()


def then_counts(run: Run, **expected: int) -> None:
    """The counters of the run; what an executing process has to add to them may come half a second later."""

    def found() -> dict[str, int]:
        progress = run.state()["progress"]
        return {name: progress[name] for name in expected}

    wait_until(lambda: found() == expected, f"counts {expected}", explain=run.explain, within=5)


def then_left_in_the_queue(run: Run, number: int) -> None:
    with service_of(run.site) as service:
        assert service.load(run.queue).number_of_items() == number


def then_only_links_are_left(tab: Tab) -> None:
    expect(tab.page.get_by_role("link").first).to_be_visible()
    tab.expect_no_button("Start", "Pause", "Resume", "Retry", "Skip", "Abort", "Take over")


def then_it_ends(program: subprocess.Popen[str], returncode: int, *, says: str = "") -> None:
    output, _ = program.communicate(timeout=20)
    assert program.returncode == returncode, output
    assert says in output


def log_of(tab: Tab) -> Any:
    return tab.page.get_by_role("group", name="Log")


def seconds_until_retry(tab: Tab) -> int:
    found = re.search(r"Next retry in (\d+) s", tab.says(re.compile("Next retry in")).inner_text())
    assert found
    return int(found[1])


def is_another_problem(run: Run, before: dict[str, Any]) -> bool:
    problem = run.state()["problem"]
    return problem is not None and problem["fence"] != before["fence"]
