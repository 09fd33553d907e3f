"""Without scripts: ordinary forms, and a page that loads itself by a link which is good for one slice of work."""

from __future__ import annotations

import http.client
import re
import threading
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import APIResponse, expect

from tests.web.conftest import Sites
from tests.web.setups import on_databases
from tests.web.test_security import LOOKERS
from tests.web.toolkit.browser import Tab, Visitor
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

VERBS = ("start", "pause", "resume", "retry", "skip", "steal", "abort", "retry_failed", "take_over", "drive")
REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+); url=([^"]+)">')


# --- a run from its start to its end ---


def test_given_no_scripts_when_started_then_the_page_refreshes_to_the_end(site: Site) -> None:
    # given
    run = site.make({"kind": "ok"}, {"kind": "sleep", "seconds": 0.6}, {"kind": "ok", "times": 10}, start=False)
    tab = opened(site, run)
    tab.expect_status("ready")
    assert run.journal.lines() == [] and "nojs=1" in tab.page.url
    # when
    tab.press("Start")
    # then
    tab.expect_status("running")
    expect(tab.page.get_by_text("You are watching")).to_have_count(0)
    assert run.journal.lines() == [], "the answer to the form has executed something"
    tab.expect_status("completed")
    assert tab.percent == 100 and "nojs=1" in tab.page.url
    run.journal.assert_each_once(range(1, 13))
    run.journal.assert_no_overlap()
    run.journal.assert_order()
    then_nothing_loads_itself(tab)
    assert site.proxy.drives() == [] and 2 <= len(site.proxy.seen(r"/tick$")) < 6


def test_given_no_scripts_when_a_task_fails_then_retry_and_skip_do_what_they_say(site: Site) -> None:
    # given
    run = site.make({"kind": "fail_until", "message": "no disk"}, {"kind": "ok"}, {"kind": "fail"}, {"kind": "ok"})
    tab = opened(site, run)
    hurry(tab)
    tab.expect_status("blocked")
    expect(tab.alert).to_contain_text("no disk")
    # then: while it is the reader's turn, the page stays as it is
    then_nothing_loads_itself(tab)
    tab.page.get_by_text("Traceback", exact=True).click()
    expect(tab.page.get_by_text("Traceback (most recent call last)")).to_be_visible()
    # when
    run.journal.mark("fixed")
    tab.press("Retry")
    hurry(tab)
    # then
    tab.expect_text("Stopped at: Task 3")
    assert run.journal.starts() == {1: 2, 2: 1, 3: 1}
    # when
    tab.press("Skip")
    hurry(tab)
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 2, 2: 1, 3: 1, 4: 1}
    assert run.journal.numbers("end") == [1, 2, 4]
    tab.expect_text("1 skipped")


def test_given_no_scripts_when_paused_resumed_and_aborted_then_nothing_more_starts(site: Site) -> None:
    # given
    run = site.make({"kind": "hold"}, {"kind": "hold", "gate": "second"}, {"kind": "ok"})
    tab = opened(site, run)
    hurry(tab)
    run.journal.wait_for("start", number=1)
    # when
    tab.press("Pause")
    run.journal.open_gate()
    # then
    tab.expect_status("paused")
    then_nothing_loads_itself(tab)
    assert run.journal.wait_until_quiet(0.3) == [1] and run.journal.starts() == {1: 1}
    # when
    tab.press("Resume")
    hurry(tab)
    run.journal.wait_for("start", number=2)
    tab.press("Abort")
    run.journal.open_gate("second")
    # then
    tab.expect_status("aborted")
    assert run.journal.wait_until_quiet(0.3) == [1, 2]
    assert tab.buttons() == set()
    then_nothing_loads_itself(tab)


def test_given_two_tabs_without_scripts_when_both_press_then_the_later_one_is_told_and_led_back(site: Site) -> None:
    # given: both show the failed task 1
    run = site.make({"kind": "fail"}, {"kind": "fail"}, {"kind": "ok"})
    site.complaints.allow_statuses(409)
    first = opened(site, run)
    hurry(first)
    first.expect_status("blocked")
    second = first.page.context.new_page()
    second.goto(first.page.url)
    # when
    first.press("Skip")
    hurry(first)
    first.expect_text("Stopped at: Task 2")
    second.get_by_role("button", name="Skip").click()
    # then: task 2 stays
    expect(second.get_by_text("moved on")).to_be_visible()
    assert run.state()["progress"]["skipped"] == 1 and run.state()["problem"]["title"] == "Task 2"
    # when
    second.get_by_role("link", name="Back to the run").click()
    # then
    expect(second.get_by_text("Stopped at: Task 2").first).to_be_visible()
    assert run.url in second.url


def test_given_a_page_that_only_watches_when_another_drives_then_it_refreshes_without_a_ticket(sites: Sites) -> None:
    # given
    site = sites(TEST_AUTHORIZE=LOOKERS)
    run = site.make({"kind": "hold"}, {"kind": "ok"})
    owner = site.open(run)
    run.journal.wait_for("start", number=1)
    # when
    tab = opened(site, run, "reader")
    # then
    tab.expect_status("running")
    seconds, target = refresh_of(tab.page.content())
    assert 1 <= seconds <= 10 and target == run.url + "?nojs=1"
    assert tab.page.locator("form").count() == 0
    # when
    run.journal.open_gate()
    # then
    tab.expect_status("completed")
    owner.expect_status("completed")
    assert site.proxy.seen(r"/tick$") == []
    run.journal.assert_each_once([1, 2])


def test_given_a_form_that_is_sent_twice_when_its_effect_is_there_then_there_is_no_second_one(site: Site) -> None:
    # given: an answer that got lost, or a page from the history
    run = site.make({"kind": "fail"}, {"kind": "ok"})
    site.open(run).expect_status("blocked")
    site.admin.close_tabs()
    html = site.admin.get(run.url, nojs=1).text()
    # when
    answers = [send_form(site.admin, html, "retry") for _ in range(3)]
    # then
    assert [answer.status for answer in answers] == [303, 303, 303]
    assert answers[0].headers["location"] == run.url + "?nojs=1"
    assert run.state()["run"]["status"] == "running"
    tab = site.open(run)
    tab.expect_status("blocked")
    tab.press("Skip")
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 2, 2: 1}


# --- tickets ---


@on_databases
def test_given_a_ticket_when_used_again_then_it_only_shows_the_page(site: Site) -> None:
    # given: each slice has the time for one task
    run = site.make({"kind": "sleep", "seconds": 0.6, "times": 4})
    first = ticket_of(site.admin, run)
    # when
    answer = use(site.admin, first)
    # then
    then_leads_to_the_page(run, answer)
    assert run.journal.wait_until_quiet(0.2) == [1]
    # when
    for _ in range(3):
        then_leads_to_the_page(run, use(site.admin, first))
    # then
    assert run.journal.wait_until_quiet(0.5) == [1], "a spent ticket has executed something"
    # when: a fresh one, by several at once
    second = ticket_of(site.admin, run)
    assert second != first
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in site.admin.context.cookies())
    at_once(lambda: plain_get(site, second, cookies), 4)
    # then: one slice for all of them
    assert run.journal.wait_until_quiet(0.5) == [1, 2]
    run.journal.assert_no_overlap()
    assert run.state()["run"]["status"] == "running"


def test_given_a_ticket_when_it_is_not_ones_own_then_it_is_good_for_nothing(sites: Sites) -> None:
    # given
    site = sites(TEST_AUTHORIZE=LOOKERS)
    run, other = site.make({"kind": "ok"}), site.make({"kind": "ok"})
    ticket = ticket_of(site.admin, run)
    token = ticket.partition("?t=")[2]
    other_ticket = ticket_of(site.admin, other)
    # when
    uses = [
        use(site.visitor("boss"), ticket),
        use(site.visitor("reader"), ticket),
        use(site.admin, f"{run.url}/tick?t={other_ticket.partition('?t=')[2]}"),
        # Not the last character, some bits of which say nothing.
        use(site.admin, ticket[:-5] + ("a" if ticket[-5] != "a" else "b") + ticket[-4:]),
        use(site.admin, f"{run.url}/tick?t={token}x"),
        use(site.admin, f"{run.url}/tick?t="),
        use(site.admin, f"{run.url}/tick"),
    ]
    # then
    for answer in uses:
        then_leads_to_the_page(run, answer)
    assert use(site.visitor("bob"), ticket).status == 404
    assert run.journal.wait_until_quiet(0.5) == [] and other.journal.lines() == []
    # when: nobody has spent it, so it is still good for whom it was made
    use(site.admin, ticket)
    # then
    run.wait_for_status("completed")
    run.journal.assert_each_once([1])


# --- nothing but a post or a ticket executes ---


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_given_a_run_that_nobody_drives_when_its_addresses_are_asked_for_then_nothing_is_executed(
    site: Site, method: str
) -> None:
    # given
    run = site.make({"kind": "ok", "times": 3}, on_end="end")
    before = run.state()
    gets = ("", "?nojs=1", "/state", "/state?after=0", "/log", "/log?format=txt", "/log?level=error", "/tick")
    for path in [*gets, *(f"/{verb}" for verb in VERBS), *(f"/{verb}?item_id=1&fence=0" for verb in VERBS)]:
        # when
        answer = site.admin.context.request.fetch(site.proxy.url + run.url + path, method=method, max_redirects=0)
        # then
        known = path.partition("?")[0].lstrip("/") not in VERBS
        expected = {200, 303} if known or method == "OPTIONS" else {405}
        assert answer.status in expected, f"{method} {path}: {answer.status}"
    # then
    assert run.journal.wait_until_quiet(0.5) == []
    after = run.state()
    assert (after["run"]["version"], after["progress"]) == (before["run"]["version"], before["progress"])


def test_given_a_ticket_when_something_looks_ahead_then_no_link_on_the_page_executes_anything(site: Site) -> None:
    """Browsers and search machines follow links and fetch what the page names; none of it may be a ticket."""
    # given
    run = site.make({"kind": "ok", "times": 3})
    for query in ("", "?nojs=1"):
        html = site.admin.get(run.url + query).text()
        # when
        addresses = {unescape(found) for found in re.findall(r'\s(?:href|src)="([^"]+)"', html)}
        for address in addresses:
            site.admin.get(address) if address.startswith("/") else None
        # then
        assert len(addresses) >= 3 and not any("tick" in address for address in addresses), addresses
    assert run.journal.wait_until_quiet(0.5) == []


# --- helpers ---


def opened(site: Site, run: Run, user: str = "admin") -> Tab:
    """The page in a browser that runs no scripts; the page itself leads it to the variant for it."""
    tab = site.visitor(user, java_script_enabled=False).open(run.url)
    tab.page.wait_for_url("**?nojs=1")
    return tab


def hurry(tab: Tab) -> None:
    """Go where the page would go by itself in two seconds."""
    tab.expect_status("running")
    tab.goto(refresh_of(tab.page.content())[1])


def then_nothing_loads_itself(tab: Tab) -> None:
    assert tab.page.locator("meta[http-equiv=refresh]").count() == 0


def refresh_of(html: str) -> tuple[int, str]:
    """After how many seconds the page goes where."""
    found = REFRESH.search(html)
    assert found, html[:2000]
    return int(found[1]), unescape(found[2])


def ticket_of(visitor: Visitor, run: Run) -> str:
    """The address to which the page without scripts goes by itself."""
    _, target = refresh_of(visitor.get(run.url, nojs=1).text())
    assert target.startswith(f"{run.url}/tick?t="), target
    return target


def use(visitor: Visitor, ticket: str) -> APIResponse:
    return visitor.context.request.get(visitor.url + ticket, max_redirects=0)


def then_leads_to_the_page(run: Run, answer: APIResponse) -> None:
    assert (answer.status, answer.headers.get("location")) == (303, run.url + "?nojs=1")


def send_form(visitor: Visitor, html: str, verb: str) -> APIResponse:
    """What pressing the button of this page does."""
    found = re.search(rf'<form[^>]* action="([^"]+/{verb})".*?</form>', html, re.DOTALL)
    assert found, html
    inputs = (found for found in re.findall(r"<input [^>]*>", found[0]) if " disabled" not in found)
    fields: dict[str, Any] = {}
    for each in inputs:
        name, value = re.search(r'name="([^"]*)"', each), re.search(r'value="([^"]*)"', each)
        fields[name[1] if name else ""] = unescape(value[1]) if value else ""
    return visitor.context.request.post(visitor.url + unescape(found[1]), form=fields, max_redirects=0)


def plain_get(site: Site, path: str, cookies: str) -> int:
    """A request beside Playwright, which serves one thread only."""
    host, _, port = site.proxy.url.rpartition("/")[2].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", path, headers={"Cookie": cookies})
    status = connection.getresponse().status
    connection.close()
    return status


def at_once(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), "all have ended")
