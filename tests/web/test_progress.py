"""The page tells the truth about how far a run is, all the way and to everybody who looks (part C)."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import Any

from playwright.sync_api import expect

from taskqueue import Task
from tests.web.conftest import Sites
from tests.web.setups import SQLITE, Setup, on_databases
from tests.web.test_decisions import (
    SEES_ALL,
    a_terminal_at_work,
    service_of,
    then_all_ran_once,
    then_counts,
    then_it_ends,
)
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.site import Site

ESTIMATE = re.compile(r"about .+ left")
#: Writes down whatever the page shows, each time that it changes.
_RECORD = """() => {
  const bar = document.querySelector("progress[aria-labelledby]");
  const badge = document.querySelector("[data-status]");
  const counts = document.getElementById(bar.getAttribute("aria-describedby"));
  const log = document.querySelector("ol");
  const shown = window.shownSoFar = [];
  const look = () => {
    const time = [...document.querySelectorAll("p")].find((p) => !p.hidden && p.textContent.startsWith("Elapsed"));
    const now = {
      percent: 100 * bar.value / bar.max, status: badge.dataset.status, counts: counts.textContent,
      time: time ? time.textContent : "", title: document.title, spoken: bar.getAttribute("aria-valuetext"),
    };
    const size = {elements: document.getElementsByTagName("*").length, lines: log.querySelectorAll("*").length};
    const last = shown.at(-1);
    if (!last || JSON.stringify({...last, elements: 0, lines: 0}) !== JSON.stringify({...now, elements: 0, lines: 0})) {
      shown.push({...now, ...size});
    } else {
      last.elements = Math.max(last.elements, size.elements);
      last.lines = Math.max(last.lines, size.lines);
    }
  };
  look();
  new MutationObserver(look).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
}"""


# --- how many there are ---


@on_databases
def test_given_tasks_that_are_added_when_watched_then_the_total_grows_and_the_page_says_why(site: Site) -> None:
    # given
    run = site.make(
        {"kind": "ok", "times": 5}, {"kind": "add", "count": 30, "gate": "add"}, {"kind": "ok", "times": 3},
        {"kind": "hold", "gate": "last"}, start=False,
    )  # fmt: skip
    tab = recorded(site.open(run))
    assert tab.percent == 0
    # when
    tab.press("Start")
    # then
    tab.expect_text("5 of 10 tasks")
    assert tab.percent == 50
    # when: a task adds some
    run.journal.open_gate("add")
    # then: the bar steps back, and the page says why
    tab.expect_text("9 of 40 tasks (30 added while running)")
    assert tab.percent == 22
    # when: somebody else adds some
    with service_of(site) as service:
        service.load(run.queue).create_items(Task("tests.web.tasks:ok", (n,), f"Late {n}") for n in range(2001, 2011))
    # then
    tab.expect_text("9 of 50 tasks (40 added while running)")
    assert tab.percent == 18
    # when
    run.journal.open_gate("last")
    tab.expect_status("completed")
    # then
    tab.expect_text("50 of 50 tasks (40 added while running)")
    assert tab.percent == 100
    run.journal.assert_each_once([*range(1, 11), *range(1001, 1031), *range(2001, 2011)])
    then_it_never_went_astray(shown_by(tab))


def test_given_a_reload_in_mid_run_when_it_is_there_again_then_the_progress_is_where_it_was(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 3}, {"kind": "hold"}, {"kind": "ok", "times": 6})
    tab = site.open(run)
    tab.expect_text("3 of 10 tasks")
    for _ in range(2):
        # when
        tab.reload()
        # then: at first sight, not only after a while
        assert (tab.percent, tab.page.title()) == (30, "(30%) Import")
    run.journal.open_gate()
    tab.expect_status("completed")
    then_all_ran_once(run, 10)


def test_given_a_killed_server_when_the_run_goes_on_then_nothing_that_was_done_is_forgotten(site: Site) -> None:
    # given
    site.complaints.allow_statuses(502, 503)
    run = site.make({"kind": "ok", "times": 10}, {"kind": "hold"}, {"kind": "ok", "times": 4}, start=False)
    tab = recorded(site.open(run))
    tab.press("Start")
    tab.expect_text("10 of 15 tasks")
    # when
    site.server.kill()
    site.server.restart()
    tab.press("Take over")
    tab.page.get_by_role("dialog").get_by_role("button", name="Take over").click()
    tab.expect_status("blocked")
    tab.expect_text("10 of 15 tasks")
    run.journal.open_gate()
    tab.press("Retry")
    # then
    tab.expect_status("completed")
    tab.expect_text("15 of 15 tasks")
    then_counts(run, done=15, skipped=0, failed=0, total=15, added=0)
    then_it_never_went_astray(shown_by(tab))


def test_given_an_end_step_when_all_tasks_are_done_then_the_bar_is_not_full_before_it_has_ended(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 40}, on_end="end_hold", start=False)
    tab = recorded(site.open(run))
    # when
    tab.press("Start")
    tab.expect_status("finishing")
    tab.expect_text("40 of 40 tasks")
    # then
    assert tab.percent == 99
    # when
    run.journal.open_gate("end")
    tab.expect_status("completed")
    # then
    assert tab.percent == 100
    then_it_never_went_astray(shown_by(tab))


# --- inside of a task ---


@on_databases
def test_given_a_task_that_reports_when_watched_then_the_bar_moves_inside_of_it(site: Site) -> None:
    # given
    run = site.make({"kind": "report", "steps": 5, "step_gates": True}, {"kind": "ok"}, start=False)
    tab = recorded(site.open(run))
    tab.press("Start")
    # when
    for step in (1, 2, 3):
        run.journal.open_gate(f"step-{step}")
        # then: one of two tasks, done to so many fifths
        tab.expect_text(f"{20 * step}%: row {step} of 5")
        assert tab.percent == 10 * step
        assert run.state()["running"][0]["fraction"] == step / 5
    assert run.journal.numbers("start") == [1]
    tab.reload()
    tab.expect_text("60%: row 3 of 5")
    assert tab.percent == 30
    recorded(tab)
    for step in (4, 5):
        run.journal.open_gate(f"step-{step}")
    tab.expect_status("completed")
    then_it_never_went_astray(shown_by(tab))


# --- many of them ---


@on_databases
def test_given_20000_quick_tasks_when_they_run_then_the_page_stays_small_and_the_requests_few(
    site: Site, setup: Setup
) -> None:
    # given: fewer where each commit is a round trip to a server
    count = 20_000 if setup is SQLITE else 2_000
    run = site.make({"kind": "ok", "times": count}, start=False)
    tab = recorded(site.open(run))
    before = memory_of(tab)
    began = time.monotonic()
    # when
    tab.press("Start")
    tab.expect_status("completed", within=120)
    # then
    took = time.monotonic() - began
    after = memory_of(tab)
    shown = shown_by(tab)
    run.journal.assert_each_once(range(1, count + 1))
    run.journal.assert_no_overlap()
    run.journal.assert_order()
    assert max(look["lines"] for look in shown) <= 200
    assert max(look["elements"] for look in shown) <= 500
    assert after["Nodes"] - before["Nodes"] <= 500, (before, after)
    assert after["JSEventListeners"] - before["JSEventListeners"] <= 20, (before, after)
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] <= 2_000_000, (before, after)
    requests = [seen for seen in site.proxy.seen(run.url, since=began) if not seen.path.endswith("/start")]
    # A drive works for half a second here.
    assert len(requests) <= 5 + 2 * took / 0.5, f"{len(requests)} requests in {took:.1f} s"
    assert len({look["percent"] for look in shown}) >= 3, "the bar did not move"
    then_it_never_went_astray(shown)


def test_given_a_page_that_only_watches_when_time_goes_by_then_it_does_not_grow(site: Site) -> None:
    # given
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    site.open(run)
    run.journal.wait_for("start", number=2)
    tab = site.open(run)
    tab.expect_text(re.compile("you are watching", re.IGNORECASE))
    before, since = memory_of(tab), time.monotonic()
    # when: each of the two has looked about seven times
    looks = lambda: len(site.proxy.seen(r"/state$", since=since))  # noqa: E731
    while looks() < 14:
        tab.pause(0.1)
    # then
    after = memory_of(tab)
    assert after["Nodes"] - before["Nodes"] <= 20, (before, after)
    assert after["JSEventListeners"] - before["JSEventListeners"] <= 2, (before, after)
    run.journal.open_gate()
    tab.expect_status("completed")


# --- how long it will take ---


@on_databases
def test_given_steady_tasks_when_they_run_then_the_remaining_time_is_told_late_enough_and_is_plausible(
    site: Site,
) -> None:
    # given
    run = site.make({"kind": "sleep", "seconds": 0.08, "times": 32}, start=False)
    tab = recorded(site.open(run))
    # when
    tab.press("Start")
    run.journal.wait_for("end", number=14)
    asked, told = time.monotonic(), run.state()["run"]["eta_s"]
    tab.expect_status("completed")
    # then
    ends = [run.journal.lines("end", number=number)[0]["at"] for number in (1, 14, 32)]
    left, at_that_pace = ends[2] - asked, (ends[1] - ends[0]) / 13 * 18
    assert told is not None
    assert 0.5 * min(left, at_that_pace) <= told <= 1.5 * max(left, at_that_pace), (told, left, at_that_pace)
    shown = shown_by(tab)
    assert any(ESTIMATE.search(look["time"]) for look in shown if look["status"] == "running"), shown
    for look in shown:
        is_early = look["time"].startswith("Elapsed 0 s")
        assert not ESTIMATE.search(look["time"]) or (look["status"] == "running" and not is_early), look


@on_databases
def test_given_an_estimate_when_tasks_are_added_then_it_grows_and_while_paused_there_is_none(site: Site) -> None:
    # given
    run = site.make(
        {"kind": "sleep", "seconds": 0.05, "times": 20}, {"kind": "add", "count": 60, "gate": "add"}, {"kind": "hold"}
    )
    tab = site.open(run)
    tab.expect_text("20 of 22 tasks")
    tab.expect_text(ESTIMATE)
    before = run.state()["run"]["eta_s"]
    # when
    run.journal.open_gate("add")
    tab.expect_text("21 of 82 tasks (60 added while running)")
    # then
    tab.expect_text(ESTIMATE)
    after = run.state()["run"]["eta_s"]
    assert after > 5 * before, (before, after)
    # when
    tab.press("Pause")
    tab.expect_status("paused")
    # then
    expect(tab.page.get_by_text(ESTIMATE).locator("visible=true")).to_have_count(0)
    tab.expect_text(re.compile(r"^Elapsed \d+ s$"))
    assert run.state()["run"]["eta_s"] is None
    run.journal.open_gate()
    run.journal.wait_for("end", number=22)
    tab.press("Resume")
    tab.expect_status("completed")
    expect(tab.page.get_by_text(ESTIMATE).locator("visible=true")).to_have_count(0)


# --- somebody else's run ---


@on_databases
def test_given_a_run_in_a_terminal_when_its_page_is_open_then_it_shows_it_live(sites: Sites) -> None:
    # given
    site = sites(**SEES_ALL)
    run, program, tab = a_terminal_at_work(
        site, {"kind": "ok"}, {"kind": "report", "steps": 4, "step_gates": True}, {"kind": "ok"},
        {"kind": "hold", "gate": "last"},
    )  # fmt: skip
    recorded(tab)
    tab.expect_text(re.compile(rf"You are watching: .*pid {program.pid}\b"))
    tab.expect_text("1 of 4 tasks")
    # when
    for step, percent in ((1, 31), (2, 37), (3, 43)):
        run.journal.open_gate(f"step-{step}")
        # then
        tab.expect_text(f"{25 * step}%: row {step} of 4")
        assert tab.percent == percent
    # when
    run.journal.open_gate("step-4")
    # then
    tab.expect_text("3 of 4 tasks")
    tab.expect_text(re.compile("Running: .*Task 4"))
    expect(tab.page.get_by_role("group", name="Log")).to_contain_text("Task 3")
    # when
    run.journal.open_gate("last")
    then_it_ends(program, 0)
    # then
    tab.expect_status("completed")
    tab.expect_text("4 of 4 tasks")
    then_all_ran_once(run, 4)
    assert {line["pid"] for line in run.journal.lines("start")} == {program.pid}
    assert site.proxy.drives() == []
    then_it_never_went_astray(shown_by(tab))


# --- helpers ---


def recorded(tab: Tab) -> Tab:
    """Write down from now on whatever the page shows."""
    tab.page.evaluate(_RECORD)
    return tab


def shown_by(tab: Tab) -> list[dict[str, Any]]:
    """What the page has shown since, oldest first."""
    shown: list[dict[str, Any]] = tab.page.evaluate("window.shownSoFar")
    return shown


def then_it_never_went_astray(shown: list[dict[str, Any]]) -> None:
    """100 only at the end; back only when tasks were added, and then the page says so; bar, text and title agree."""
    for look in shown:
        done, total = tasks_in(look)
        assert (look["percent"] == 100) == (look["status"] == "completed"), look
        assert look["percent"] >= min(99, 100 * done // total), look
        assert look["spoken"].startswith(f"{look['percent']} percent, "), look
        if look["status"] == "running" and not look["title"].startswith("(!)"):
            assert look["title"].startswith(f"({look['percent']}%) "), look
    for before, after in pairwise(shown):
        assert tasks_in(after)[0] >= tasks_in(before)[0], f"forgotten: {before}, {after}"
        if after["percent"] < before["percent"]:
            assert added_in(after) > added_in(before), f"the bar went back: {before}, {after}"


def tasks_in(look: dict[str, Any]) -> tuple[int, int]:
    found = re.match(r"([\d,]+) of ([\d,]+) task", look["counts"])
    assert found, look
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def added_in(look: dict[str, Any]) -> int:
    found = re.search(r"\((\d+) added while running\)", look["counts"])
    return int(found[1]) if found else 0


def memory_of(tab: Tab) -> dict[str, float]:
    """What the page takes, once everything that is not needed is gone."""
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return {metric["name"]: metric["value"] for metric in metrics}
