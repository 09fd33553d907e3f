"""A page that refreshes itself tears nothing away, says when it cannot, and has keys that can be switched off (59)."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.dashboard.board import (
    Board,
    box,
    counter,
    expect_heading,
    line_of,
    notice,
    press,
    refresh_every,
    row,
    rows,
    task,
)
from tests.web.dashboard.conftest import Boards
from tests.web.test_network import show
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.proxy import Seen

LOST = "The server does not answer. This page keeps trying."
SIGNED_OUT = re.compile("no longer signed in")


# --- refreshing ---


def test_given_two_seconds_when_something_changes_then_the_page_shows_it_by_itself(board: Board) -> None:
    # given
    queue = board.queue(task(title="First"))
    tab = board.open("items", queue=queue.name)
    refresh_every(tab.page, 2)
    kept = mark(tab.page, "h1")
    # when
    queue.create_item(task(title="Second"))
    # then
    tab.expect_text("Second", within=6)
    assert is_there(tab.page, kept), "the whole page was torn away"
    assert notice(tab.page).inner_text() == "", "a refresh is nothing to speak of"
    # when: the choice is remembered
    tab.goto(board.path("dead"))
    expect(tab.page.get_by_label("Refresh")).to_have_value("2")
    # when: off
    refresh_every(tab.page, 0)
    since = time.monotonic()
    tab.pause(2.6)
    assert looks(board, since) == 0


@pytest.mark.parametrize("what", ["selected", "field focused", "filled in", "row focused", "opened"])
def test_given_something_in_hand_when_the_server_has_news_then_nothing_is_torn_away_and_later_it_goes_on(
    board: Board, what: str
) -> None:
    # given
    queue = board.queue()
    (first,) = board.failed(queue, task(title="First"), error="No space", trace="Traceback: here")
    where = f"queues/{queue.name}/items/{first}" if what == "opened" else "items"
    query: dict[str, Any] = {} if what == "opened" else {"queue": queue.name}
    tab = board.open(where, **query)
    page = tab.page
    refresh_every(page, 2)
    # when
    if what == "selected":
        box(page, first).check()
        page.locator("h1").click()
    elif what == "field focused":
        page.get_by_label("Text").focus()
    elif what == "filled in":
        page.get_by_label("Text").fill("half a wo")
        page.evaluate("document.activeElement.blur()")
    elif what == "row focused":
        row(page, first).get_by_role("link").first.focus()
    else:
        page.locator(".tq-timeline").get_by_text("Traceback", exact=True).click()
        page.evaluate("document.activeElement.blur()")
    held = mark(page, ".tq-timeline" if what == "opened" else "[data-live=rows]")
    focused = mark(page, ":focus") if what in ("field focused", "row focused") else ""
    since = time.monotonic()
    # when: the server has news
    if what == "opened":
        queue.cancel_item(first)
    queue.create_item(task(title="Second"))
    tab.pause(2.8)
    # then
    assert is_there(page, held)
    if what == "opened":
        assert looks(board, since) >= 1, "all of the page stands still because of one traceback"
        expect(page.get_by_text("Traceback: here").first).to_be_visible()
    else:
        assert page.get_by_text("Second").count() == 0 and looks(board, since) == 0
    if what == "selected":
        expect(box(page, first)).to_be_checked()
    if what == "filled in":
        expect(page.get_by_label("Text")).to_have_value("half a wo")
    if focused:
        assert is_there(page, focused) and page.evaluate("document.activeElement !== document.body")
    # when: let go
    if what == "opened":
        return
    if what == "selected":
        box(page, first).uncheck()
    if what == "filled in":
        page.get_by_label("Text").fill("")
    page.evaluate("document.activeElement.blur()")
    # then
    tab.expect_text("Second", within=6)


def test_given_an_answer_on_its_way_when_a_row_is_selected_meanwhile_then_the_selection_stays(board: Board) -> None:
    # given
    queue = board.queue(task(title="First"))
    (first,) = [item.id for item in queue.items()]
    tab = board.open("items", queue=queue.name)
    held = board.site.proxy.hold_answer(r"/dashboard/items$")
    refresh_every(tab.page, 2)
    queue.create_item(task(title="Second"))
    held.wait_for_hit()
    # when
    box(tab.page, first).check()
    kept = mark(tab.page, "[data-live=rows]")
    held.end()
    wait_until(lambda: held.hits[0].ended is not None, "it is answered")
    tab.pause(0.3)
    # then
    assert is_there(tab.page, kept)
    expect(box(tab.page, first)).to_be_checked()
    assert tab.page.get_by_text("Second").count() == 0


def test_given_a_hidden_tab_when_time_passes_then_it_does_not_ask_and_when_shown_it_does_at_once(board: Board) -> None:
    # given
    queue = board.queue(task(title="First"))
    tab = board.open("items", queue=queue.name)
    refresh_every(tab.page, 2)
    show(tab, False)
    since = time.monotonic()
    # when
    queue.create_item(task(title="Second"))
    tab.pause(2.8)
    # then
    assert looks(board, since) == 0
    # when
    show(tab, True)
    # then
    tab.expect_text("Second", within=1.5)


def test_given_an_empty_list_when_something_comes_then_it_shows(board: Board) -> None:
    # given: also where the first thing comes, and the last one goes
    queue = board.queue()
    tab = board.open("items", queue=queue.name)
    tab.expect_text("Nothing found.")
    refresh_every(tab.page, 2)
    # when
    item = queue.create_item(task(title="First"))
    # then
    expect(row(tab.page, item.id)).to_be_visible(timeout=6000)
    # when
    queue.cancel_item(item.id)
    # then
    expect(tab.page.get_by_text("Nothing found.")).to_be_visible(timeout=6000)


def test_given_the_overview_when_a_queue_moves_then_its_numbers_do(board: Board) -> None:
    # given
    queue = board.queue(task())
    tab = board.open()
    line = line_of(tab.page, queue.name)
    refresh_every(tab.page, 2)
    expect(line.locator("[data-label=Waiting]")).to_have_text("1")
    expect(counter(tab.page, "waiting")).to_be_visible()
    # when
    queue.create_items([task(), task()])
    # then
    expect(line.locator("[data-label=Waiting]")).to_have_text("3", timeout=8000)


# --- when it cannot ---


@pytest.mark.parametrize("how", ["502", "stopped"])
def test_given_a_server_that_is_away_when_the_page_asks_then_it_says_so_and_recovers(boards: Boards, how: str) -> None:
    # given
    board = boards(TEST_NAME="away")
    board.site.complaints.allow_statuses(502)
    board.site.complaints.allow_lost_connections()
    queue = board.queue(task(title="First"))
    tab = board.open("items", queue=queue.name)
    refresh_every(tab.page, 2)
    # when
    fault = board.site.proxy.bad_gateway() if how == "502" else None
    if how == "stopped":
        board.site.server.stop()
    # then
    expect(notice(tab.page)).to_have_text(LOST, timeout=6000)
    expect(rows(tab.page)).to_have_count(1)
    # when
    queue.create_item(task(title="Second"))
    if fault:
        fault.end()
    else:
        board.site.server.start()
    # then
    tab.expect_text("Second", within=15)
    expect(notice(tab.page)).to_be_hidden()


@pytest.mark.parametrize("login", ["cookie", "redirect"])
def test_given_somebody_who_signs_out_when_the_page_asks_then_it_says_so_and_shows_nothing_new(
    boards: Boards, login: str
) -> None:
    # given
    board = boards(TEST_LOGIN=login, TASKQUEUE_LOGIN_URL="/login")
    board.site.complaints.allow_statuses(401, 404)
    queue = board.queue(task(title="First"))
    tab = board.open("items", queue=queue.name)
    refresh_every(tab.page, 2)
    # when
    board.site.admin.sign_out()
    queue.create_item(task(title="Second"))
    # then
    expect(notice(tab.page)).to_have_text(SIGNED_OUT, timeout=6000)
    assert tab.page.get_by_text("Second").count() == 0
    # when
    board.site.admin.sign_in("admin")
    # then
    tab.expect_text("Second", within=8)
    expect(notice(tab.page)).to_be_hidden()


def test_given_people_who_sign_in_elsewhere_when_they_are_sent_there_then_the_page_says_so(board: Board) -> None:
    # given
    queue = board.queue(task())
    tab = board.open("items", queue=queue.name)
    board.site.complaints.allow("sso.example|net::ERR_FAILED|connect-src by")
    sent = {"status": 302, "headers": {"location": "https://sso.example/login"}}
    # when
    tab.page.route("**/dashboard/items*", lambda route: route.fulfill(**sent))
    refresh_every(tab.page, 2)
    # then
    expect(notice(tab.page)).to_have_text(SIGNED_OUT, timeout=6000)
    # when
    tab.page.unroute_all()
    queue.create_item(task(title="Second"))
    # then
    tab.expect_text("Second", within=8)
    expect(notice(tab.page)).to_be_hidden()


def test_given_acts_and_refreshes_when_read_out_then_only_acts_are_spoken_and_once(board: Board) -> None:
    # given
    queue = board.queue()
    (letter, _other) = board.letters(queue, task(), task())
    board.site.admin.context.add_init_script(LISTEN)
    tab = board.open("dead", queue=queue.name)
    refresh_every(tab.page, 2)
    box(tab.page, letter).check()
    # when: an act, whose notice stands there when the next page opens
    press(tab.page, "Retry selected")
    expect(notice(tab.page)).to_have_text("1: revived.")
    since = time.monotonic()
    for number in range(2):
        # when
        board.letters(queue, task(title=f"New {number}"))
        tab.expect_text(f"New {number}", within=6)
    # then
    assert tab.page.evaluate("heard") == ["1: revived."]
    assert {seen.query for seen in asked(board, since)} == {f"queue={queue.name}"}
    expect(tab.page.locator("[aria-live], [role=alert], [role=log]")).to_have_count(0)
    expect(tab.page.locator("[role=status]")).to_have_count(1)


# --- keys ---


def test_given_the_keys_when_pressed_then_they_search_refresh_and_help(board: Board) -> None:
    # given
    queue = board.queue(task(title="First"))
    tab = board.open("items", queue=queue.name)
    page = tab.page
    refresh_every(page, 0)
    queue.create_item(task(title="Second"))
    # when, then
    page.keyboard.press("r")
    tab.expect_text("Second")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Text")).to_be_focused()
    # when: inside of a field they are letters
    since = time.monotonic()
    page.keyboard.type("r/?")
    expect(page.get_by_label("Text")).to_have_value("r/?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label("State").focus()
    page.keyboard.press("r")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    # when: with Ctrl they are the browser's
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Alt+r")
    page.keyboard.press("Control+/")
    tab.pause(0.3)
    # then
    assert looks(board, since) == 0
    expect(page.get_by_label("Text")).not_to_be_focused()


def test_given_keys_that_are_switched_off_when_pressed_then_nothing_happens_also_on_the_next_page(board: Board) -> None:
    # given
    queue = board.queue(task())
    tab = board.open("items", queue=queue.name)
    page = tab.page
    refresh_every(page, 0)
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Keys are on").uncheck()
    press(page, "Close")
    for name, heading in (("items", "Items"), ("dead", "Dead letters")):
        tab.goto(board.path(name, queue=queue.name))
        expect_heading(page, heading)
        since = time.monotonic()
        # when
        for key in ("/", "r", "?"):
            page.keyboard.press(key)
        tab.pause(0.3)
        # then
        expect(page.get_by_label("Text")).not_to_be_focused()
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert looks(board, since) == 0
    # when: on again, by the button
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_label("Keys are on")).not_to_be_checked()
    page.get_by_label("Keys are on").check()
    press(page, "Close")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    # then
    expect(page.get_by_label("Text")).to_be_focused()


# --- helpers ---


def mark(page: Page, selector: str) -> str:
    """Remember a node of the page."""
    page.evaluate("selector => { window.kept ??= {}; kept[selector] = document.querySelector(selector); }", selector)
    return selector


def is_there(page: Page, selector: str) -> bool:
    """Whether that very node still stands there."""
    found: bool = page.evaluate("selector => kept[selector] === document.querySelector(selector)", selector)
    return found


def asked(board: Board, since: float) -> list[Seen]:
    return [
        seen for seen in board.site.proxy.seen(r"/dashboard", method="GET", since=since)
        if any(name.lower() == "x-taskqueue-live" for name in seen.headers)
    ]  # fmt: skip


def looks(board: Board, since: float) -> int:
    """How often pages have asked again."""
    return len(asked(board, since))


#: Notes down what a screen reader would speak by itself.
LISTEN = """
window.heard = [];
addEventListener("DOMContentLoaded", () => {
  const region = document.querySelector("[role=status]");
  new MutationObserver(() => region.textContent && heard.push(region.textContent))
    .observe(region, { subtree: true, childList: true, characterData: true });
});
"""
