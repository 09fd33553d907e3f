"""Acts on what was selected, and on all that a filter finds: just those, once, and on record (57)."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from taskqueue.queues import settlement
from tests.web.conftest import Sites
from tests.web.dashboard.board import USERS, Board, all_ids, board_of, box, ids, notice, press, rows, task
from tests.web.setups import on_databases
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.proxy import Fault, Seen

NEEDLES = 37


@on_databases
def test_given_37_of_5000_that_match_when_all_are_retried_then_just_those_are_and_the_log_says_so(sites: Sites) -> None:
    # given: the same title on another queue, and other titles on this one, some with that text among the arguments
    site = sites(TEST_DASHBOARD=USERS, TEST_NAME="bulk")
    with board_of(site) as board:
        queue, other = board.queue(), board.queue()
        hay = board.letters(queue, *(task(number=n, title=f"Hay {n}") for n in range(2400)))
        needles = board.letters(queue, *(task(number=n, title=f"Send needle {n}") for n in range(NEEDLES)))
        hay += board.letters(queue, *(task(number=n, title=f"Hay {n}") for n in range(2353)))
        hay += board.letters(queue, *(task(number=n, title="Hay", message="send needle") for n in range(10)))
        elsewhere = board.letters(other, *(task(number=n, title=f"Send needle {n}") for n in range(200)))
        assert len(hay) + len(needles) + len(elsewhere) == 5000
        tab = board.open("dead")
        # when
        tab.page.get_by_label("Text").fill("send NEEDLE")
        tab.page.get_by_label("Queue", exact=True).select_option(queue.name)
        press(tab.page, "Filter")
        expect(tab.page.locator("tbody tr")).to_have_count(NEEDLES)
        assert set(all_ids(tab.page)) == set(needles)
        tab.page.get_by_role("link", name="Retry all that match").click()
        # then: nothing has happened yet
        expect(tab.page.get_by_role("heading", level=2)).to_have_text("Retry: 37 match.")
        for fact in (queue.name, "send NEEDLE", "Dead letters"):
            expect(tab.page.locator(".tq-confirm dd").get_by_text(fact, exact=True)).to_be_visible()
        assert queue.number_of_items() == 0
        # when: others die with that title while the question stands there
        late = board.letters(queue, *(task(number=n, title=f"Send needle {n}") for n in range(3)))
        confirm(tab.page, "Retry all 37")
        # then: on the page of its run
        expect(tab.page).to_have_url(re.compile("/queue/run/[0-9a-f]{32}$"))
        tab.expect_status("completed")
        assert {item.id for item in queue.items()} == set(needles)
        assert {letter.id for letter in queue.dead_letters()} == {*hay, *late}
        assert {letter.id for letter in other.dead_letters()} == set(elsewhere)
        assert other.number_of_items() == 0
        assert {item.failures for item in queue.items()} == {0}, "they have no fresh attempts"
        # then: who, what, how many, and by which filter
        tab.goto(board.path("audit"))
        words = " | ".join(rows(tab.page).all_inner_texts())
        assert re.search(r"user:admin", words) and "revived" in words, words
        assert "send NEEDLE" in words, words
        facts = [line for line in board.read("audit")["audit"] if line["action"] == "revive"]
        assert facts and {line["actor"] for line in facts} == {"user:admin"}
        assert {line["queue"] for line in facts} == {queue.name}
        named = {line["item"] for line in facts if line["item"] is not None}
        assert named == set(needles), facts
        (order,) = [line for line in board.read("audit")["audit"] if line["action"] == "order:revive"]
        assert (order["actor"], order["queue"], order["number"]) == ("user:admin", queue.name, 37)
        # then: each of them says so on its own page
        tab.goto(board.path(f"queues/{queue.name}/items/{needles[0]}"))
        expect(tab.page.get_by_role("heading", name="Who did what")).to_be_visible()
        tab.expect_text("user:admin")


def test_given_items_that_come_after_the_question_when_all_are_deleted_then_they_stay(board: Board) -> None:
    # given
    queue = board.queue(*(task(number=n, title=f"Old {n}") for n in range(60)))
    (kept,) = board.failed(queue, task(title="Other"))
    tab = board.open("items", queue=queue.name, state="waiting")
    # when
    tab.page.get_by_role("link", name="Delete all that match").click()
    expect(tab.page.get_by_role("heading", level=2)).to_have_text("Delete: 60 match.")
    late = queue.create_item(task(title="Old too")).id
    confirm(tab.page, "Delete all 60")
    # then
    tab.expect_status("completed")
    assert {item.id for item in queue.items()} == {kept, late}


def test_given_a_question_when_one_goes_back_then_nothing_happens_and_the_filter_is_kept(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(3)))
    tab = board.open("dead", queue=queue.name, text="Task")
    # when
    tab.page.get_by_role("link", name="Delete all that match").click()
    tab.page.get_by_role("link", name="Go back").click()
    # then
    expect(tab.page.get_by_label("Text")).to_have_value("Task")
    assert set(ids(tab.page)) == set(letters) == {letter.id for letter in queue.dead_letters()}
    # when: where nothing matches there is nothing to confirm
    tab.goto(board.path("confirm", what="dead", verb="delete", queue=queue.name, text="nothing of the kind"))
    expect(tab.page.get_by_role("heading", level=2)).to_have_text("Delete: 0 match.")
    assert tab.page.get_by_role("main").get_by_role("button", name=re.compile("^Delete")).count() == 0


def test_given_two_selected_letters_when_retried_then_those_are_and_the_page_says_so(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(5)))
    tab = board.open("dead", queue=queue.name)
    # when
    for letter in letters[1:3]:
        box(tab.page, letter).check()
    press(tab.page, "Retry selected")
    # then: where one was
    expect(notice(tab.page)).to_have_text("2: revived.")
    assert f"queue={queue.name}" in tab.page.url
    assert {item.id for item in queue.items()} == set(letters[1:3])
    assert set(ids(tab.page)) == {letter.id for letter in queue.dead_letters()} == {letters[0], *letters[3:]}
    deeds = board.read("audit", queue=queue.name)["audit"]
    assert [(deed["actor"], deed["action"], deed["item"]) for deed in deeds] == [
        ("user:admin", "revive", letters[2]), ("user:admin", "revive", letters[1])
    ]  # fmt: skip


def test_given_selected_letters_when_deleted_then_it_asks_again_and_deletes_just_those(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(4)))
    tab = board.open("dead", queue=queue.name)
    box(tab.page, letters[0]).check()
    box(tab.page, letters[3]).check()
    # when
    press(tab.page, "Delete selected")
    # then
    expect(tab.page.get_by_role("heading", level=2)).to_have_text("Delete: 2 items. This cannot be taken back.")
    assert queue.statistics()["dead"] == 4
    # when
    confirm(tab.page, "Delete")
    # then
    expect(notice(tab.page)).to_have_text("2: deleted.")
    assert {letter.id for letter in queue.dead_letters()} == set(letters[1:3]) == set(ids(tab.page))
    assert {deed["action"] for deed in board.read("audit", queue=queue.name)["audit"]} == {"delete"}


def test_given_an_item_that_moved_on_when_it_is_deleted_then_it_is_left_alone_and_the_page_says_so(
    board: Board,
) -> None:
    # given: two items on the page, of which one is taken and given back meanwhile
    queue = board.queue(task(number=1), task(number=2))
    tab = board.open("items", queue=queue.name)
    moved = queue.claim_item()
    assert moved is not None
    queue.release_item(moved)
    # when
    for item_id in ids(tab.page):
        box(tab.page, item_id).check()
    press(tab.page, "Skip selected")
    confirm(tab.page, "Skip")
    # then
    expect(notice(tab.page)).to_contain_text("1 of 2: skipped. The rest has moved on meanwhile")
    assert [item.id for item in queue.items()] == [moved.id] == ids(tab.page)


def test_given_all_of_a_page_when_selected_at_once_then_none_of_the_next_page_is(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(53)))
    tab = board.open("dead", queue=queue.name)
    # when
    tab.page.get_by_label("Select all on this page").check()
    press(tab.page, "Retry selected")
    # then
    expect(notice(tab.page)).to_have_text("50: revived.")
    assert sorted(letter.id for letter in queue.dead_letters()) == sorted(letters[:3])
    assert set(ids(tab.page)) == set(letters[:3])


def test_given_nothing_selected_when_an_act_is_pressed_then_the_page_says_so(board: Board) -> None:
    queue = board.queue()
    board.letters(queue, task())
    board.site.complaints.allow_statuses(400)
    tab = board.open("dead", queue=queue.name)
    press(tab.page, "Retry selected")
    tab.expect_text("Nothing was selected.")
    assert queue.number_of_items() == 0


def test_given_a_paused_queue_when_steered_then_it_is_resumed_and_back(board: Board) -> None:
    # given
    queue = board.queue(task())
    tab = board.open(f"queues/{queue.name}")
    # when
    press(tab.page, "Pause")
    # then
    expect(notice(tab.page)).to_have_text("1: paused.")
    assert queue.status == "paused"
    # when: from the overview
    tab.goto(board.path())
    tab.page.get_by_role("button", name=f"Resume {queue.name}").click()
    # then
    expect(notice(tab.page)).to_have_text("1: resumed.")
    assert queue.status == "active"
    assert [deed["action"] for deed in board.read("audit", queue=queue.name)["audit"]] == ["resume", "pause"]


# --- double clicks ---


def test_given_a_double_click_when_letters_are_retried_then_there_is_one_effect(board: Board) -> None:
    # given
    queue = board.queue()
    (letter,) = board.letters(queue, task())
    tab = board.open("dead", queue=queue.name)
    box(tab.page, letter).check()
    # when
    held = click_twice(board, tab, "Retry selected", r"/act$")
    # then
    expect(notice(tab.page)).to_have_text("1: revived.")
    assert len(held.hits) == 1, board.site.proxy.tail()
    assert len(board.read("audit", queue=queue.name)["audit"]) == 1


def test_given_a_double_click_on_all_that_match_when_carried_out_then_there_is_one_order(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(8)))
    tab = board.open("confirm", what="dead", verb="revive", queue=queue.name)
    # when
    held = click_twice(board, tab, "Retry all 8", r"/bulk$")
    # then
    tab.expect_status("completed")
    assert {item.id for item in queue.items()} == set(letters)
    assert len(held.hits) == 1, board.site.proxy.tail()
    then_it_was_ordered_once(board, queue.name, 8)


def test_given_the_same_order_when_posted_again_then_there_is_one_effect(board: Board) -> None:
    """As a browser does whose answer got lost, or whose user goes back and presses again."""
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(5)))
    tab = board.open("confirm", what="dead", verb="revive", queue=queue.name)
    confirm(tab.page, "Retry all 5")
    tab.expect_status("completed")
    (first,) = posts(board, r"/bulk$")
    # when: of those that were revived, one dies again
    item = next(queue.items())
    again = settlement.bury("again")
    queue.database.transaction(lambda tx: queue.settle_within(tx, [(item.id, item.fence)], again))
    answer = board.site.admin.context.request.post(
        board.site.proxy.url + first.path, data=first.body, max_redirects=0,
        headers={"Content-Type": first.headers["Content-Type"]},
    )  # fmt: skip
    # then: it is led to the run, and nothing happens
    assert answer.status == 303 and "/run/" in answer.headers["location"], answer.text()
    tab.goto(answer.headers["location"])
    tab.expect_status("completed")
    assert [letter.id for letter in queue.dead_letters()] == [item.id]
    assert {each.id for each in queue.items()} == {*letters} - {item.id}
    then_it_was_ordered_once(board, queue.name, 5)


# --- helpers ---


def click_twice(board: Board, tab: Tab, name: str, path: str) -> Fault:
    """Press a button once more while the answer to its first post is awaited: the browser would send it again."""
    held = board.site.proxy.hold(path, method="POST")
    button = tab.page.get_by_role("button", name=name)
    place = button.bounding_box()
    assert place is not None
    button.click(no_wait_after=True)
    held.wait_for_hit()
    tab.page.mouse.click(place["x"] + 5, place["y"] + 5)
    tab.pause(0.3)
    held.end()
    return held


def confirm(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def posts(board: Board, path: str) -> list[Seen]:
    return board.site.proxy.seen(path, method="POST")


def then_it_was_ordered_once(board: Board, queue: str, number: int) -> None:
    deeds = board.read("audit", queue=queue)["audit"]
    assert [deed["number"] for deed in deeds if deed["number"] is not None] == [number], deeds
    assert len([deed for deed in deeds if deed["item"] is not None]) == number, deeds
