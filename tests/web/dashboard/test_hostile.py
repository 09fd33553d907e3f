"""What others chose as texts stays text, and what is secret stays hidden, on every page (44, 48)."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from taskqueue import Task
from tests.web.conftest import Sites
from tests.web.dashboard.board import ALL, USERS, Board, board_of, box, notice, press, refresh_every, row, rows, task
from tests.web.dashboard.stock import stocked
from tests.web.tasks import EVIL
from tests.web.test_security import CSP, then_nothing_became_markup

#: Pages that show texts which others chose, and how often at least.
SHOWN = {
    "items": 4, "dead": 1, "history": 2, "workers": 1, "runs": 1, "schedules": 1, "operations": 1, "audit": 2,
    "item waiting": 3, "item retrying": 3, "item dead": 3, "item gone": 1, "item running": 2,
    "item silent": 1, "outbox": 0,
}  # fmt: skip


def test_given_markup_in_every_text_when_shown_then_it_stays_text_under_a_strict_policy(sites: Sites) -> None:
    """Any error in the console and any violation of the policy fails a test at its end."""
    # given
    site = sites(TEST_DASHBOARD={**USERS, EVIL: ALL}, TEST_CSP=CSP, TEST_NAME="hostile")
    with board_of(site) as board:
        stock = stocked(board, EVIL)
        tab = board.open()
        for name, (path, query) in stock.pages.items():
            # when
            tab.goto(board.path(path, **query))
            # then
            expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
            if name in SHOWN:
                text = tab.page.locator("#tq-content").evaluate("node => node.textContent")
                assert text.count(EVIL) >= SHOWN[name], f"{name}: {text.count(EVIL)} times"
            then_nothing_became_markup(tab)
        # when: a filter of that text, and a question with it
        for query in ({"what": "items", "verb": "delete"}, {"what": "dead", "verb": "revive"}):
            tab.goto(board.path("confirm", **query, text=EVIL))
            expect(tab.page.locator(".tq-confirm dd").get_by_text(EVIL, exact=True)).to_be_visible()
            then_nothing_became_markup(tab)
        tab.goto(board.path("items", queue=stock.queue.name, text=EVIL))
        expect(tab.page.get_by_label("Text")).to_have_value(EVIL)
        assert rows(tab.page).count() >= 4
        # when: refreshed by the script
        refresh_every(tab.page, 2)
        new = stock.queue.create_item(task(title=f"New {EVIL}"))
        expect(row(tab.page, new.id)).to_contain_text(EVIL, timeout=8000)
        then_nothing_became_markup(tab)
        # when: acts, by a form, and on many
        box(tab.page, new.id).check()
        press(tab.page, "Skip selected")
        press(tab.page, "Skip")
        expect(notice(tab.page)).to_have_text("1: skipped.")
        tab.page.get_by_role("link", name="Run now all that match").click()
        tab.page.get_by_role("button", name=re.compile(r"^Run now (all )?\d+$")).click()
        tab.expect_status("completed")
        tab.goto(board.path("audit"))
        expect(rows(tab.page).filter(has_text=re.compile(re.escape(EVIL)))).to_have_count(3)
        then_nothing_became_markup(tab)


def test_given_markup_in_an_address_when_opened_then_it_stays_text(board: Board) -> None:
    board.site.complaints.allow_statuses(400, 404)
    tab = board.open()
    for name in ("done", "n", "of", "after", "text", "queue", "state", "format", "next"):
        for page in ("", "items"):
            query = {name: EVIL} | ({"done": "retry"} if name in ("n", "of") else {})
            tab.goto(board.path(page, **query))
            then_nothing_became_markup(tab)


# --- secrets ---

SECRETS = [
    "hunter2", "s3cr3t-in-kwargs", "s3cr3t-in-data", "s3cr3t-in-error", "s3cr3t-in-trace", "s3cr3t-nested",
    "s3cr3t-in-address",
]  # fmt: skip
VISIBLE, ARGUMENT, TRACE = "plain-title", "visible-argument", "line 7 of the trace"


@pytest.mark.parametrize("user", ["admin", "teller", "expert", "reader"])
def test_given_secrets_and_what_one_may_not_see_when_shown_then_they_are_hidden_also_in_the_json(
    board: Board, user: str
) -> None:
    # given
    queue = board.queue(retry_limit=2)
    call = Task(
        task().callback, (ARGUMENT, {"password": "hunter2"}), VISIBLE,
        kwargs={"api_key": "s3cr3t-in-kwargs", "deep": [{"auth_token": "s3cr3t-nested"}],
                "url": "https://me:s3cr3t-in-address@example.com/"},
    )  # fmt: skip
    error = "ValueError: no login, password=s3cr3t-in-error\nmore"
    trace = f"Traceback: {TRACE}\n  password='s3cr3t-in-trace'"
    data = {"name": ARGUMENT, "secret": "s3cr3t-in-data"}
    ids = [queue.create_item(call).id, queue.create_item(data).id]
    ids += board.failed(queue, call, data, error=error, trace=trace)
    ids += board.letters(queue, call, data, error=error, trace=trace)
    visitor = board.site.visitor(user)
    lists = [(page, {"queue": queue.name}) for page in ("items", "dead", "history", "audit")]
    tab = board.open(by=visitor)
    for path, query in [*lists, *((f"queues/{queue.name}/items/{item_id}", {}) for item_id in ids)]:
        # when: on the page, in its markup, and in the JSON behind it
        tab.goto(board.path(path, **query))
        html = tab.page.content()
        facts = json.dumps(board.read(path, by=visitor, **query))
        for text in (html, facts):
            # then
            assert not [secret for secret in SECRETS if secret in text], path
            is_data = ARGUMENT in text
            assert user in ("admin", "teller") or not is_data, f"{user} sees arguments on {path}"
            assert user in ("admin", "expert") or TRACE not in text, f"{user} sees a traceback on {path}"
        if "items/" in path:
            assert (ARGUMENT in html) == (ARGUMENT in facts) == (user in ("admin", "teller")), path
            is_failed = ids.index(int(path.rpartition("/")[2])) >= 2
            assert (TRACE in html) == (TRACE in facts) == (is_failed and user in ("admin", "expert")), path
            assert ("no login" in html) == is_failed
    # then: what a filter finds tells nobody of what they may not see
    for page in ("items", "dead"):
        found = board.read(page, by=visitor, queue=queue.name, text="s3cr3t")[page]
        assert found == [], "a search for a secret finds its item"
        found = board.read(page, by=visitor, queue=queue.name, text=ARGUMENT)[page]
        assert user in ("admin", "teller") or found == []
