"""The dashboard without scripts: lists, filters, pages, acts, questions, and many at once."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.web.dashboard.board import Board, all_ids, box, ids, notice, press, rows, task
from tests.web.test_without_javascript import hurry
from tests.web.toolkit.browser import Tab


def test_given_no_scripts_when_listed_filtered_and_paged_then_it_works(board: Board) -> None:
    # given
    queue = board.queue(*(task(number=n, title=f"Needle {n}") for n in range(61)), *(task(title="Hay") for _ in "ab"))
    tab = opened(board, "items", queue=queue.name)
    # when
    tab.page.get_by_label("Text").fill("needle")
    press(tab.page, "Filter")
    # then
    expect(rows(tab.page)).to_have_count(50)
    found = all_ids(tab.page)
    assert len(set(found)) == len(found) == 61
    tab.page.get_by_role("link", name="Newest").click()
    expect(rows(tab.page)).to_have_count(50)
    tab.page.get_by_role("link", name="Show all").click()
    expect(tab.page.get_by_label("Text")).to_have_value("")
    # then: what needs a script is not offered
    expect(tab.page.get_by_label("Refresh")).to_be_hidden()
    expect(tab.page.get_by_role("button", name="Keys")).to_be_hidden()
    expect(tab.page.get_by_label("Select all on this page")).to_be_hidden()


def test_given_no_scripts_when_selected_letters_are_retried_and_deleted_then_it_asks_and_does_it(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(4)))
    tab = opened(board, "dead", queue=queue.name)
    # when
    box(tab.page, letters[0]).check()
    press(tab.page, "Retry selected")
    # then
    expect(notice(tab.page)).to_have_text("1: revived.")
    # when
    box(tab.page, letters[1]).check()
    box(tab.page, letters[2]).check()
    press(tab.page, "Delete selected")
    expect(tab.page.get_by_role("heading", level=2)).to_contain_text("Delete: 2 items")
    press(tab.page, "Delete")
    # then
    expect(notice(tab.page)).to_have_text("2: deleted.")
    assert ids(tab.page) == [letters[3]] == [letter.id for letter in queue.dead_letters()]
    assert [item.id for item in queue.items()] == [letters[0]]
    # when: on the page of one
    tab.goto(board.path(f"queues/{queue.name}/items/{letters[3]}"))
    press(tab.page, "Retry")
    expect(notice(tab.page)).to_have_text("1: revived.")
    # when: the queue
    tab.goto(board.path(f"queues/{queue.name}"))
    press(tab.page, "Pause")
    expect(notice(tab.page)).to_have_text("1: paused.")
    assert queue.status == "paused"


def test_given_no_scripts_when_all_that_match_are_retried_then_the_page_of_the_run_does_it(board: Board) -> None:
    # given
    queue = board.queue()
    needles = board.letters(queue, *(task(number=n, title=f"Needle {n}") for n in range(55)))
    hay = board.letters(queue, task(title="Hay"))
    tab = opened(board, "dead", queue=queue.name, text="needle")
    # when
    tab.page.get_by_role("link", name="Retry all that match").click()
    expect(tab.page.get_by_role("heading", level=2)).to_have_text("Retry: 55 match.")
    press(tab.page, "Retry all 55")
    tab.page.wait_for_url(re.compile(r"/run/[0-9a-f]{32}"))
    tab.page.wait_for_url("**?nojs=1")
    if tab.status == "running":
        hurry(tab)
    # then
    tab.expect_status("completed")
    assert {item.id for item in queue.items()} == set(needles)
    assert [letter.id for letter in queue.dead_letters()] == hay


def opened(board: Board, page: str, **query: str) -> Tab:
    """A page in a browser that runs no scripts."""
    return board.open(page, by=board.site.visitor(java_script_enabled=False), **query)
