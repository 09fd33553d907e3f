"""Everybody can use the dashboard: with a screen reader, the keyboard alone, enlarged, in their language (part F)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Sites
from tests.web.dashboard.board import USERS, Board, board_of, box, expect_heading, notice, refresh_every, task
from tests.web.dashboard.stock import Stock, stocked
from tests.web.neighbours import NEIGHBOURS
from tests.web.test_accessibility import (
    FOLLOW,
    LONG,
    focused,
    speaking,
    then_the_focus_is_visible,
)
from tests.web.toolkit.axe import DESK, LOOKS, Look, examined, violations, where
from tests.web.toolkit.browser import Tab

pytestmark = pytest.mark.parametrize("setup", [NEIGHBOURS], ids=str, indirect=True)

PAGES = (
    "overview", "queue", "items", "dead", "history", "charts", "workers", "runs", "schedules", "outbox", "operations",
    "audit", "confirm", "confirm nothing", "items empty", "dead empty", "history empty", "item waiting",
    "item scheduled", "item retrying", "item dead", "item gone", "item running", "item silent",
)  # fmt: skip
#: What a table may do in its own box is no fault of the page.
ENLARGED = {"width": 320, "height": 256}
WORDS = "Nothing is left of the disk"
_stocks: dict[str, Stock] = {}


@pytest.fixture
def board(sites: Sites) -> Iterator[Board]:
    """The host in which a cookie chooses the language."""
    with board_of(sites(TEST_DASHBOARD=USERS, TEST_NAME="accessible")) as board:
        yield board


@pytest.fixture
def stock(board: Board) -> Stock:
    """One of everything; made once, since nobody changes it."""
    url = board.site.server.database_url
    if url not in _stocks:
        _stocks[url] = stocked(board, WORDS)
    made = _stocks[url]
    return Stock(board, made.queue, made.items, made.run)


# --- 49: axe ---


@pytest.mark.parametrize("name", PAGES)
def test_given_a_page_when_axe_looks_in_all_looks_then_it_finds_nothing(board: Board, stock: Stock, name: str) -> None:
    # given
    assert set(stock.pages) == set(PAGES)
    path, query = stock.pages[name]
    tab = open_in(board, "en", path, query)
    if name.startswith("item "):
        expect(tab.page.locator(f".tq-content .tq-state-{name.removeprefix('item ')}").first).to_be_visible()
    for look in LOOKS:
        # when, then
        then_axe_finds_nothing(tab.page, look)


def test_given_what_opens_by_a_press_when_axe_looks_then_it_finds_nothing(board: Board, stock: Stock) -> None:
    # given: keys, tracebacks, a table behind a chart, what was refused, and what is not there
    board.site.complaints.allow_statuses(400, 404)
    tab = open_in(board, "en", *stock.pages["item dead"])
    for summary in tab.page.locator("summary").all():
        summary.click()
    then_axe_finds_nothing(tab.page, ("light", DESK))
    tab.page.get_by_role("button", name="Keys").click()
    expect(tab.page.get_by_role("dialog", name="Keys")).to_be_visible()
    then_axe_finds_nothing(tab.page, ("dark", DESK))
    tab.goto(board.path("charts"))
    tab.page.locator("summary").first.click()
    for look in LOOKS:
        then_axe_finds_nothing(tab.page, look)
    for path in ("nothing", "items?state=nonsense"):
        tab.goto(board.path() + "/" + path)
        for look in LOOKS[:2]:
            then_axe_finds_nothing(tab.page, look)
    # when: one is asked again, and told what was done
    tab.goto(board.path("dead", queue=stock.queue.name))
    box(tab.page, stock.items["dead"]).check()
    tab.page.get_by_role("button", name="Delete selected").click()
    expect(tab.page.get_by_role("link", name="Go back")).to_be_visible()
    for look in LOOKS:
        then_axe_finds_nothing(tab.page, look)
    tab.goto(board.path("dead", done="revive", n="1", of="3"))
    expect(notice(tab.page)).to_be_visible()
    for look in LOOKS[:2]:
        then_axe_finds_nothing(tab.page, look)


def test_given_no_queue_at_all_when_axe_looks_at_empty_pages_then_it_finds_nothing(sites: Sites) -> None:
    # given
    site = sites(TEST_DASHBOARD=USERS, TEST_NAME="empty")
    tab = site.admin.open("/queue/dashboard")
    for name, text in (("", "There are no queues yet."), ("workers", "No worker is there."), ("runs", "no runs yet"),
                       ("schedules", "There are no schedules."), ("outbox", "There is no outbox."),
                       ("operations", "There are no calls."), ("audit", "Nobody has done anything yet."),
                       ("items", "There is nothing in the queues."), ("dead", "There are no dead letters."),
                       ("history", "Nothing found."), ("charts", "")):  # fmt: skip
        # when
        tab.goto(f"/queue/dashboard/{name}".rstrip("/"))
        # then
        tab.expect_text(text)
        then_axe_finds_nothing(tab.page, LOOKS[len(name) % 4])


# --- what a screen reader is told ---


def test_given_the_pages_when_read_out_then_parts_have_their_roles_and_names(board: Board, stock: Stock) -> None:
    tab = board.open()
    for name, (path, query) in stock.pages.items():
        tab.goto(board.path(path, **query))
        page = tab.page
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("navigation", name="Dashboard")).to_have_count(1)
        expect(page.locator("[role=status]")).to_have_count(1)
        assert page.title(), name
        # Each table has headers, each field and each box a name.
        for field in page.locator("input:visible, select:visible, button:visible").all():
            expect(field).to_have_accessible_name(re.compile(r"\S"))
        current = page.get_by_role("navigation", name="Dashboard").locator("[aria-current=page]")
        assert current.count() == (1 if name.split()[0] in BAR else 0), name


BAR = {
    "overview",
    "items",
    "dead",
    "history",
    "charts",
    "workers",
    "runs",
    "schedules",
    "outbox",
    "operations",
    "audit",
}


# --- 50: the keyboard alone ---


def test_given_the_keyboard_alone_when_filtered_selected_and_acted_then_all_can_be_reached(board: Board) -> None:
    # given
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n, title=f"Needle {n}") for n in range(3)), task(title="Hay"))
    tab = at_the_keyboard(board, "dead", queue=queue.name)
    keys = tab.page.keyboard
    # when: past the bar of pages
    keys.press("Tab")
    assert focused(tab) == "Skip to the content"
    then_the_focus_is_visible(tab)
    keys.press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "tq-content"
    # when: a filter
    tab_to(tab, "Text")
    keys.type("needle")
    keys.press("Enter")
    expect(tab.page.locator("tbody tr")).to_have_count(3)
    # when: two rows
    for letter in (letters[2], letters[0]):
        tab_to(tab, f"Select item {letter}")
        keys.press("Space")
        expect(box(tab.page, letter)).to_be_checked()
    tab_to(tab, "Delete selected", back=True)
    keys.press("Enter")
    expect_heading(tab.page, "Delete")
    tab_to(tab, "Delete")
    keys.press("Enter")
    # then
    expect(notice(tab.page)).to_have_text("2: deleted.")
    assert {letter.id for letter in queue.dead_letters()} == {letters[1], letters[3]}
    # when: many
    tab_to(tab, "Retry all that match")
    keys.press("Enter")
    expect_heading(tab.page, "Retry")
    tab_to(tab, "Retry 1")
    keys.press("Enter")
    tab.expect_status("completed")
    assert [item.id for item in queue.items()] == [letters[1]]


def test_given_a_focus_somewhere_when_the_page_refreshes_then_it_is_never_lost(board: Board) -> None:
    # given: a button inside of a part that changes, a link in a row, the box for all
    queue = board.queue()
    letters = board.letters(queue, *(task(number=n) for n in range(3)))
    for name, page in ((f"Pause {queue.name}", ""), (f"Select item {letters[1]}", "dead"), ("Refresh", "dead"),
                       ("Retry selected", "dead")):  # fmt: skip
        tab = at_the_keyboard(board, page, **({"queue": queue.name} if page else {}))
        refresh_every(tab.page, 2)
        tab_to(tab, name, most=200)
        tab.page.evaluate("document.activeElement.dataset.chosen = 'yes'; focusLog.splice(0)")
        # when
        board.letters(queue, task(title="New"))
        tab.pause(2.6)
        # then
        assert tab.page.evaluate("document.activeElement.dataset.chosen") == "yes", name
        assert set(tab.page.evaluate("focusLog")) <= {name}
        tab.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["overview", "items", "item dead", "confirm", "queue"])
def test_given_everything_that_can_be_reached_when_it_has_the_focus_then_one_sees_it(
    board: Board, stock: Stock, scheme: str, name: str
) -> None:
    # given
    path, query = stock.pages[name]
    visitor = speaking(board.site, "en", color_scheme=scheme)
    visitor.context.add_init_script(FOLLOW)
    tab = visitor.open(board.path(path, **query))
    refresh_every(tab.page, 0)
    reached = 0
    # when
    for _ in range(100):
        tab.page.keyboard.press("Tab")
        if focused(tab) == "body":
            break
        reached += 1
        # then
        then_the_focus_is_visible(tab)
    assert reached >= 4


# --- 54: enlarged, and in other languages ---


@pytest.mark.parametrize("language", ["en", "ar"])
def test_given_four_times_the_size_when_texts_are_long_then_no_page_scrolls_sideways(
    board: Board, language: str
) -> None:
    """1280 x 1024 at 400 % are 320 x 256."""
    # given
    stock = stocked(board, LONG)
    tab = open_in(board, language, "", {}, viewport=ENLARGED, device_scale_factor=4)
    for name, (path, query) in stock.pages.items():
        # when
        tab.goto(board.path(path, **query))
        # then
        expect(tab.page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
        then_the_page_fits(tab.page, name)
        for button in tab.page.locator("main button:visible, main a.tq-button:visible").all()[:8]:
            button.scroll_into_view_if_needed()
            expect(button).to_be_in_viewport(ratio=0.9)
    # when: with everything open
    tab.goto(board.path(*[stock.pages["item dead"][0]]))
    for summary in tab.page.locator("summary").all():
        summary.click()
    then_the_page_fits(tab.page, "opened")
    tab.page.get_by_role("button", name="Keys").click()
    then_the_page_fits(tab.page, "keys")


@pytest.mark.parametrize("language", ["de", "ar"])
def test_given_a_language_when_all_pages_are_drawn_then_they_fit_on_a_phone_and_a_desk(
    board: Board, stock: Stock, language: str
) -> None:
    tab = open_in(board, language, "", {})
    for size in ({"width": 360, "height": 740}, DESK):
        tab.page.set_viewport_size(size)  # type: ignore[arg-type]
        for name, (path, query) in stock.pages.items():
            # when
            tab.goto(board.path(path, **query))
            # then
            expect(tab.page.locator("#taskqueue-dashboard")).to_have_attribute(
                "dir", {"ar": "rtl"}.get(language, "ltr")
            )
            then_nothing_scrolls_sideways_but_tables(tab.page, name)
            if language == "de":
                words = tab.page.locator("#taskqueue-dashboard").inner_text()
                found = re.findall(ENGLISH, words)
                assert not found, f"{name}: {found}"


#: Words that no German page has, but for what others chose.
ENGLISH = r"\b(Overview|Dead letters|History|Workers|Schedules|Waiting|Queue|Skip|Delete|Refresh|Failures|Outcome)\b"


# --- helpers ---


def open_in(board: Board, language: str, path: str, query: dict[str, str], **options: Any) -> Tab:
    return speaking(board.site, language, **options).open(board.path(path, **query))


def at_the_keyboard(board: Board, page: str, **query: Any) -> Tab:
    """A page, with notes of where the focus goes."""
    board.look_anew()
    visitor = speaking(board.site, "en")
    visitor.context.add_init_script(FOLLOW)
    return visitor.open(board.path(page, **query))


def tab_to(tab: Tab, name: str, *, back: bool = False, most: int = 45) -> None:
    """Go there, forwards or backwards."""
    passed = []
    for _ in range(most):
        if focused(tab) == name:
            then_the_focus_is_visible(tab)
            return
        tab.page.keyboard.press("Shift+Tab" if back else "Tab")
        passed.append(focused(tab))
    raise AssertionError(f"{name} cannot be reached: {passed}")


def then_axe_finds_nothing(page: Page, look: Look) -> None:
    """No fault, and nothing of which axe is not sure."""
    found = examined(page, look)
    lines = violations(found)
    # There axe is never sure of a contrast: the page lies behind, or rows lie out of sight.
    is_open = page.locator("dialog[open], .tq-twin[open]").count() > 0
    unsure = (rule for rule in found["incomplete"] if not (is_open and rule["id"] == "color-contrast"))
    lines += [f"unsure: {rule['id']} {where(rule)}" for rule in unsure]
    assert not lines, f"{look}:\n" + "\n".join(lines)


def then_the_page_fits(page: Page, name: str) -> None:
    try:
        then_nothing_scrolls_sideways_but_tables(page, name)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


def then_nothing_scrolls_sideways_but_tables(page: Page, name: str) -> None:
    """The page never does, and nothing is cut off at its edge; a table or code may scroll in its own box."""
    found = page.evaluate(
        """() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          const boxes = "pre, .tq-scroll, .tq-unseen, [hidden], template, .tq-skip, dialog:not([open])";
          const inBox = (node) => node.closest(boxes);
          const out = [...document.body.querySelectorAll("*")].filter((node) => {
            const box = node.getBoundingClientRect();
            return box.width && !inBox(node) && (box.left < -0.5 || box.right > clientWidth + 0.5);
          });
          return { scrollWidth, clientWidth, out: out.map((node) => node.outerHTML.slice(0, 100)) };
        }"""
    )
    assert found["scrollWidth"] <= found["clientWidth"] and not found["out"], f"{name}: {found}"
