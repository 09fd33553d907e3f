"""What the dashboard counts is what there is, and each number leads to just so many rows (55)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.web.conftest import Sites
from tests.web.dashboard.board import USERS, Board, all_ids, board_of, counter, number_in, row, rows, task
from tests.web.setups import on_databases
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until

STATES = ("waiting", "running", "scheduled", "dead")


@on_databases
def test_given_queues_in_mixed_states_when_shown_then_each_number_is_right_and_leads_to_so_many_rows(
    sites: Sites,
) -> None:
    # given: a database of its own, and more than a page of some things
    site = sites(TEST_DASHBOARD=USERS, TEST_NAME="counts")
    with board_of(site) as board:
        holds = [task("hold", number) for number in (1, 2)]
        one = board.queue(*holds, *(task(number=number) for number in range(3, 60)), type="Sql")
        two = board.queue(*holds, retry_limit=3)
        three = board.queue(*(task(number=number) for number in range(3)))
        two.create_item(task(number=7), delay=3600)
        three.create_item(task(number=8), delay=3600)
        board.failed(two, *(task(number=number) for number in range(10, 15)))
        board.letters(two, *(task(number=number) for number in range(20, 20 + 73)))
        board.letters(three, task(number=99))
        board.removed(three, *(task(number=number) for number in range(30, 34)))
        board.work(one, two)
        for queue, count in ((one, 1), (two, 2)):
            board.journal(queue).wait_for("start", count=count)
        queues = {queue.name: queue for queue in (one, two, three, board.service.load("bell"))}
        expected = {name: queue.statistics() for name, queue in queues.items()}
        failed = {one.name: 0, two.name: 5 + 73, three.name: 1 + 4, "bell": 0}
        assert [expected[name]["leased"] for name in queues] == [1, 2, 0, 0], expected
        # when
        tab = board.open()
        # then: each queue for itself
        shown = board.read()
        assert {each["name"] for each in shown["queues"]} == queues.keys()
        for each in shown["queues"]:
            numbers = expected[each["name"]]
            found = {key: each[key] for key in (*STATES, "failed")}
            assert found == {
                "waiting": numbers["ready"], "running": numbers["leased"], "scheduled": numbers["delayed"],
                "dead": numbers["dead"], "failed": failed[each["name"]],
            }, each["name"]  # fmt: skip
        # then: all together, and what each number leads to
        sums = {key: sum(each[key] for each in shown["queues"]) for key in (*STATES, "failed")}
        assert sums == {"waiting": 58 + 3, "running": 3, "scheduled": 7, "dead": 74, "failed": 83}
        for key, number in sums.items():
            then_the_counter_leads_to_so_many(tab, board.path(), key, number)
        # then: the same for each queue on its line, and on its page
        tab.goto(board.path())
        links: dict[str, int] = {}
        for name, numbers in expected.items():
            line = tab.page.locator("tbody tr", has=tab.page.get_by_role("link", name=name, exact=True))
            for label, number in (("Waiting", numbers["ready"]), ("Running", numbers["leased"]),
                                  ("Scheduled", numbers["delayed"]), ("Failed", failed[name]),
                                  ("Dead", numbers["dead"])):  # fmt: skip
                cell = line.locator(f"[data-label={label}] a")
                assert number_in(cell) == number, f"{name}: {label}"
                if name == two.name:
                    links[cell.get_attribute("href") or ""] = number
        tab.goto(board.path(f"queues/{two.name}"))
        for key, label in (("waiting", "ready"), ("running", "leased"), ("scheduled", "delayed"), ("dead", "dead")):
            assert number_in(counter(tab.page, key)) == expected[two.name][label], key
            assert counter(tab.page, key).locator("..").get_attribute("href") in links, key
        for link, number in links.items():
            tab.goto(link)
            assert len(all_ids(tab.page)) == number, link
        # when: things move on
        board.journal(two).open_gate()
        board.journal(two).wait_for("end", count=2)
        wait_until(lambda: two.statistics()["leased"] == 0, "both have ended")
        # then
        board.look_anew()
        tab.goto(board.path())
        assert number_in(counter(tab.page, "running")) == 1


def then_the_counter_leads_to_so_many(tab: Tab, path: str, name: str, number: int) -> None:
    tab.goto(path)
    assert number_in(counter(tab.page, name)) == number, name
    counter(tab.page, name).click()
    found = all_ids(tab.page)
    assert len(found) == number, f"{name}: {tab.page.url}"
    # Of an item there may be several failures, but nothing else stands twice.
    assert name == "failed" or len(set(found)) == number


@pytest.mark.parametrize("page", ["items", "dead", "history"])
def test_given_a_filter_when_paged_then_each_row_stands_on_one_page_and_all_are_meant(board: Board, page: str) -> None:
    # given
    queue = board.queue(retry_limit=3)
    makers = {"items": board.failed, "dead": board.letters, "history": board.removed}
    meant = makers[page](queue, *(task(number=number, title=f"Needle {number}") for number in range(61)))
    makers[page](queue, *(task(number=number, title=f"Hay {number}") for number in range(61)))
    text: dict[str, Any] = {} if page == "history" else {"text": "nEEDLE"}
    # when
    tab = board.open(page, queue=queue.name, since="1h", **text)
    found = all_ids(tab.page)
    # then
    assert len(found) == len(set(found))
    assert set(found) >= set(meant) and len(found) == (122 if page == "history" else 61)
    tab.page.get_by_role("link", name="Newest").click()
    assert rows(tab.page).count() == 50
    # when: further away
    if text:
        tab.page.get_by_label("Text").fill("Hay 60")
        tab.page.get_by_label("Text").press("Enter")
        # then: the other fields of the filter are kept
        expect(rows(tab.page)).to_have_count(1)
        assert "since=1h" in tab.page.url and queue.name in tab.page.url


def test_given_the_states_when_listed_then_each_row_says_its_own(board: Board) -> None:
    # given
    queue = board.queue(task("hold", 1))
    board.work(queue)
    board.journal(queue).wait_for("start")
    queue.create_item(task(number=2), delay=3600)
    (failed,) = board.failed(queue, task(number=3), error="No space\nsecond line", wait=3600)
    # when
    tab = board.open("items", queue=queue.name)
    # then
    by_number = {title: tab.page.locator("tbody tr", has_text=title) for title in ("Task 1", "Task 2", "Task 3")}
    texts = {title: line.inner_text() for title, line in by_number.items()}
    assert "Running" in texts["Task 1"] and "heartbeat" in texts["Task 1"]
    assert "Scheduled" in texts["Task 2"] and "in 59 min" in texts["Task 2"]
    assert "Waits for its retry" in texts["Task 3"] and "No space" in texts["Task 3"]
    assert "second line" not in texts["Task 3"]
    assert row(tab.page, failed).count() == 1
