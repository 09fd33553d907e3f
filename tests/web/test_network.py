"""Networks that fail, sessions that end, tabs that sleep: the page recovers, and nothing runs twice (part D)."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.web.conftest import Sites
from tests.web.setups import in_both_modes, on_databases
from tests.web.test_execution import RISKY, then_all_ran_once
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

CHECKING = re.compile("check|connect|try", re.IGNORECASE)


@in_both_modes
def test_given_a_gateway_without_upstream_when_it_is_back_then_the_page_recovers_by_itself(site: Site) -> None:
    # given
    site.complaints.allow_statuses(502)
    run, tab = a_running_page(site)
    # when
    fault = site.proxy.bad_gateway()
    run.journal.open_gate()
    then_the_page_says_that_it_is_checking(tab)
    tab.pause(2)
    # then: it asked again, with growing pauses, and did not take the failed request for a failed task
    assert 2 <= len(fault.hits) <= 30, site.proxy.tail()
    assert not tab.buttons() & RISKY
    back = time.monotonic()
    fault.end()
    tab.expect_status("completed")
    assert first_request(site, back) < 5
    then_all_ran_once(run, 6)


@on_databases
def test_given_no_network_when_it_is_back_then_the_page_recovers_within_two_seconds(site: Site) -> None:
    # given
    site.complaints.allow_lost_connections()
    run, tab = a_running_page(site)
    # when
    site.admin.context.set_offline(True)
    run.journal.open_gate()
    then_the_page_says_that_it_is_checking(tab)
    tab.pause(3)
    assert not tab.buttons() & RISKY
    back = time.monotonic()
    site.admin.context.set_offline(False)
    # then
    tab.expect_status("completed")
    assert first_request(site, back) < 2
    then_all_ran_once(run, 6)


@pytest.mark.parametrize("login", ["cookie", "redirect", "flask-login"])
def test_given_a_session_that_ended_when_the_page_asks_then_it_wants_a_sign_in_and_keeps_the_run(
    sites: Sites, login: str
) -> None:
    # given
    site = sites(TEST_LOGIN=login, TASKQUEUE_LOGIN_URL="/login")
    site.complaints.allow_statuses(401, 404)
    run, tab = a_running_page(site)
    # when
    site.admin.sign_out()
    # then
    link = tab.page.get_by_role("link", name=re.compile("sign in", re.IGNORECASE))
    expect(link).to_be_visible()
    assert not tab.buttons() & RISKY
    since = time.monotonic()
    tab.pause(1.5)
    assert len(site.proxy.seen(run.url, since=since)) <= 2, f"the page goes on asking:\n{site.proxy.tail()}"
    link.click()
    expect(tab.page.get_by_role("heading", name="Please sign in")).to_be_visible()
    # when
    site.admin.sign_in("admin")
    run.journal.open_gate()
    tab.goto(run.url)
    # then
    tab.expect_status("completed")
    then_all_ran_once(run, 6)


def test_given_a_hidden_tab_when_it_is_shown_then_it_tells_the_truth_within_a_second(site: Site) -> None:
    # given: the same admin in two browsers
    run, driving = a_running_page(site)
    elsewhere = site.visitor(user_agent="elsewhere")
    elsewhere.context.clock.install()
    hidden = site.open(run, by=elsewhere)
    hidden.expect_text(re.compile("you are watching", re.IGNORECASE))
    show(hidden, False)
    # The next look of the hidden tab is seconds away, and its clock stands still, as that of sleeping tabs does.
    hid = time.monotonic()
    wait_until(lambda: has_looked(site, "elsewhere", hid), "the hidden tab looks", explain=site.proxy.tail)
    hidden.page.clock.pause_at(time.time() + 0.2)
    run.journal.open_gate()
    driving.expect_status("completed")
    assert hidden.status == "running"
    # when
    show(hidden, True)
    hidden.page.clock.run_for(500)
    # then
    hidden.expect_status("completed", within=1)
    then_all_ran_once(run, 6)


def test_given_a_hidden_tab_that_drives_when_nobody_looks_then_the_run_goes_on(site: Site) -> None:
    # given
    run, tab = a_running_page(site)
    # when
    show(tab, False)
    run.journal.open_gate()
    # then
    run.wait_for_status("completed")
    show(tab, True)
    tab.expect_status("completed", within=1.5)
    then_all_ran_once(run, 6)


@on_databases
def test_given_a_script_that_is_late_when_start_was_pressed_before_then_nothing_is_lost(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 3}, start=False)
    late = site.proxy.hold(r"\.js$")
    tab = site.admin.open(run.url, wait_until="commit")
    late.wait_for_hit()
    # when
    tab.press("Start")
    # then
    tab.expect_status("running", "completed")
    late.end()
    tab.expect_status("completed")
    then_all_ran_once(run, 3)
    assert "nojs" not in tab.page.url
    assert len(site.proxy.seen(r"/start$")) == 1


def a_running_page(site: Site) -> tuple[Run, Tab]:
    """Task 2 of 6 stands at the gate."""
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok", "times": 4})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    tab.expect_text(re.compile("Running: .*Task 2"))
    return run, tab


def then_the_page_says_that_it_is_checking(tab: Tab) -> None:
    """In words of its own; the run's own texts hold none of them."""
    tab.expect_text(CHECKING)


def first_request(site: Site, since: float) -> float:
    """Seconds until the page asked again."""
    requests = site.proxy.seen(r"/(state|drive)$", since=since)
    assert requests, site.proxy.tail()
    return requests[0].began - since


def has_looked(site: Site, agent: str, since: float) -> bool:
    """Whether the state was asked for from that browser, and told."""
    return any(seen.ended and seen.headers["User-Agent"] == agent for seen in site.proxy.seen("/state$", since=since))


def show(tab: Tab, is_visible: bool) -> None:
    """Hide the tab as another one in front of it would, or show it."""
    state = "visible" if is_visible else "hidden"
    tab.page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", {configurable: true, get: () => state});
          Object.defineProperty(document, "hidden", {configurable: true, get: () => state === "hidden"});
          document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
        }""",
        state,
    )
