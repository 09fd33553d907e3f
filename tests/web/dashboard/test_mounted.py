"""The dashboard where others have their pages, too: below a path, twice, with Flask-WTF and Flask-Login (61, 62)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Sites
from tests.web.dashboard.board import ALL, USERS, Board, board_of, box, notice, press, rows, task
from tests.web.neighbours import NEIGHBOURS, REPORTER
from tests.web.setups import Setup
from tests.web.test_neighbours import PrefixProxy
from tests.web.toolkit.browser import Tab, Visitor

PAGES = ("", "items", "dead", "history", "charts", "workers", "runs", "schedules", "outbox", "operations", "audit")
DASHBOARD = {**USERS, REPORTER: ALL}
EXTENSIONS = {"TEST_CSRF": True, "TEST_LOGIN": "flask-login"}
neighbours = pytest.mark.parametrize("setup", [NEIGHBOURS], ids=str, indirect=True)


# --- below a path, and twice ---


@neighbours
def test_given_a_path_in_front_when_everything_is_used_then_all_addresses_are_below_it(
    sites: Sites, setup: Setup
) -> None:
    # given
    site = sites(TEST_DASHBOARD=DASHBOARD)
    root = PrefixProxy.prefix
    site.proxy.close()
    site.proxy = PrefixProxy(site.server.address)
    with board_of(site, home=f"{root}/queue/dashboard") as board:
        since = time.monotonic()
        # when, then
        then_the_whole_flow_works(board, site.visitor(), f"{root}/queue/")
        asked = [seen for seen in site.proxy.seen(since=since) if seen.path not in ("/login", "/favicon.ico")]
        assert len(asked) > 20 and not [seen.path for seen in asked if not seen.path.startswith(f"{root}/queue/")]
        assert {seen.status for seen in asked} <= {200, 303}


@neighbours
def test_given_two_dashboards_in_one_application_when_used_then_each_stays_on_its_own_site(
    sites: Sites, setup: Setup
) -> None:
    # given
    site = sites(TEST_DASHBOARD=DASHBOARD)
    reporter = site.visitor(REPORTER)
    with board_of(site) as first, board_of(site, home="/reports/dashboard", prefix="reports_") as second:
        # when, then
        since = time.monotonic()
        theirs = then_the_whole_flow_works(second, reporter, "/reports/")
        asked = [seen.path for seen in site.proxy.seen(since=since) if seen.path != "/login"]
        assert not [path for path in asked if path.startswith("/queue/") and path != "/queue/csrf"], asked
        ours = then_the_whole_flow_works(first, site.admin, "/queue/")
        # then: neither knows of what the other has
        for board, queue in ((first, theirs), (second, ours)):
            names = {each["name"] for each in board.read()["queues"]}
            assert queue not in names
            assert site.admin.get(board.path(f"queues/{queue}")).status == 404
            assert queue not in {deed["queue"] for deed in board.read("audit")["audit"]}
        assert {deed["actor"] for deed in second.read("audit")["audit"]} == {f"user:{REPORTER}"}


# --- Flask-WTF and Flask-Login ---


def test_given_flask_wtf_and_flask_login_when_the_dashboard_is_used_then_all_of_it_works(sites: Sites) -> None:
    # given
    site = sites(TEST_DASHBOARD=USERS, **EXTENSIONS)
    with board_of(site) as board:
        # when, then
        then_the_whole_flow_works(board, site.admin, "/queue/")


@pytest.mark.parametrize("config", [{}, EXTENSIONS], ids=["alone", "with Flask-WTF and Flask-Login"])
def test_given_no_good_token_when_posted_then_it_is_refused_and_nothing_happens(
    sites: Sites, config: dict[str, object]
) -> None:
    # given
    site = sites(TEST_DASHBOARD=USERS, **config)
    with board_of(site) as board:
        queue = board.queue(task())
        (letter,) = board.letters(queue, task())
        board.look_anew()
        elsewhere = site.visitor().get("/queue/csrf").json()["csrf"]
        tokens: tuple[dict[str, str], ...] = ({}, {"csrf_token": "x"}, {"csrf_token": elsewhere})
        bulk = {"what": "dead", "verb": "revive", "queue": queue.name, "number": "1", "key": "0" * 32}
        bound = str(int(time.time() * 1000) + 60_000)
        posts = {
            "act": {"what": "dead", "verb": "revive", "items": f"{queue.name}/{letter}"},
            "bulk": {**bulk, "bound": bound, "moment": bound},
            f"queues/{queue.name}/steer": {"verb": "pause"},
            f"queues/{queue.name}/options": {"retry_limit": "7"},
        }
        for path, fields in posts.items():
            for token in tokens:
                # when
                form = {**fields, **token}
                answer = site.admin.context.request.post(site.proxy.url + board.path(path), form=form, max_redirects=0)
                # then
                assert answer.status in (400, 403), f"{path} {token}: {answer.status}"
                sent = site.admin.post(board.path(path), fields, {"X-CSRFToken": token.get("csrf_token", "")})
                assert sent.status in (400, 403), f"{path} {token}: {sent.status}"
        assert queue.statistics()["dead"] == 1 and queue.status == "active" and queue.spec.retry_limit == 0
        assert board.read("audit", queue=queue.name)["audit"] == []
        # when: the control: with the page's own token
        tab = board.open("dead", queue=queue.name)
        box(tab.page, letter).check()
        press(tab.page, "Retry selected")
        # then
        expect(notice(tab.page)).to_have_text("1: revived.")


def test_given_a_reader_when_they_look_and_post_then_there_is_no_button_and_nothing_happens(board: Board) -> None:
    # given
    queue = board.queue(task())
    (letter,) = board.letters(queue, task())
    board.site.complaints.allow_statuses(403)
    reader = board.site.visitor("reader")
    for page in (*PAGES, f"queues/{queue.name}", f"queues/{queue.name}/items/{letter}"):
        # when
        tab = board.open(page, by=reader)
        # then
        expect(tab.page.locator("form[method=post]:has(button[name=verb])")).to_have_count(0)
        expect(tab.page.get_by_role("checkbox", name=re.compile("Select"))).to_have_count(0)
        tab.page.close()
    # when
    headers = {"X-CSRFToken": reader.get("/queue/csrf").json()["csrf"], "Accept": "application/json"}
    for path, data in (
        ("act", {"what": "dead", "verb": "revive", "items": [f"{queue.name}/{letter}"]}),
        (
            "bulk",
            {
                "what": "dead",
                "verb": "delete",
                "queue": queue.name,
                "bound": "1",
                "moment": "1",
                "number": "1",
                "key": "1" * 32,
            },
        ),
        (f"queues/{queue.name}/steer", {"verb": "pause"}),
        (f"queues/{queue.name}/options", {"retry_limit": 3}),
    ):
        # then
        assert reader.post(board.path(path), data, headers).status == 403, path
    assert queue.statistics()["dead"] == 1 and queue.status == "active"
    # when: to strangers there is no dashboard
    stranger = board.site.visitor("bob")
    for page in (*PAGES, f"queues/{queue.name}"):
        assert stranger.get(board.path(page)).status == 404


# --- helpers ---


def then_the_whole_flow_works(board: Board, visitor: Visitor, below: str) -> str:
    """Every page, filters, an act, one that asks again, a bulk act to its end; the name of the queue used."""
    queue = board.queue(*(task(number=n) for n in range(53)))
    letters = board.letters(queue, *(task(number=n) for n in range(6)))
    board.look_anew()
    # when: all pages, and where their links lead
    tab = visitor.open(board.path())
    for page in (*PAGES, f"queues/{queue.name}", f"queues/{queue.name}/items/{letters[0]}"):
        tab.goto(board.path(page))
        expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
        for address in addresses(tab.page):
            assert urlsplit(address).path.startswith(below), f"{page}: {address}"
    # when: paging and filtering
    tab.goto(board.path("items", queue=queue.name))
    tab.page.get_by_role("link", name="Older").click()
    expect(rows(tab.page)).to_have_count(3)
    tab.goto(board.path("dead"))
    tab.page.get_by_label("Queue", exact=True).select_option(queue.name)
    press(tab.page, "Filter")
    expect(rows(tab.page)).to_have_count(6)
    # when: an act
    box(tab.page, letters[0]).check()
    press(tab.page, "Retry selected")
    expect(notice(tab.page)).to_have_text("1: revived.")
    # when: one that asks again
    box(tab.page, letters[1]).check()
    press(tab.page, "Delete selected")
    tab.page.get_by_role("main").get_by_role("button", name="Delete", exact=True).click()
    expect(notice(tab.page)).to_have_text("1: deleted.")
    # when: many
    tab.page.get_by_role("link", name="Retry all that match").click()
    press(tab.page, "Retry all 4")
    tab.expect_status("completed")
    assert urlsplit(tab.page.url).path.startswith(f"{below}run/")
    # when: the queue itself
    tab.goto(board.path(f"queues/{queue.name}"))
    press(tab.page, "Pause")
    expect(notice(tab.page)).to_have_text("1: paused.")
    tab.page.get_by_label("retry_limit").fill("4")
    press(tab.page, "Change options")
    expect(notice(tab.page)).to_have_text("1: options changed.")
    # then
    assert queue.statistics() | {"dead": 0} == queue.statistics()
    assert queue.number_of_items() == 53 + 5 and queue.status == "paused" and queue.spec.retry_limit == 4
    then_the_script_runs(tab)
    return queue.name


def addresses(page: Page) -> Iterator[str]:
    """Where links, forms and files of a page lead."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("[href], [src], [action]")].map(
             (node) => node.getAttribute("href") ?? node.getAttribute("src") ?? node.getAttribute("action"))
             .filter((address) => !address.startsWith("#") && !address.startsWith("data:"))"""
    )
    return (urljoin(page.url, address) for address in found)


def then_the_script_runs(tab: Tab) -> None:
    expect(tab.page.get_by_label("Refresh")).to_be_visible()
