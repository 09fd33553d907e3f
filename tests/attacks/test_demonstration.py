"""Markup and script in what the demonstration stores and shows, in a real browser: nothing becomes an element (S2)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.attacks.corpus import CORPUS
from tests.attacks.watch import Watched, says, text_of
from tests.demo.application import Application
from tests.demo.browser import Server

pytestmark = pytest.mark.browser
#: Of the most different kinds.
TEXTS = CORPUS[:10]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the demonstration is served."""
    with Server(Application(f"sqlite:///{tmp_path / 'demo.db'}", tmp_path)) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A visitor's page; nothing that the visitor sees may have become markup."""
    visitor = Watched(browser.new_context(base_url=address))
    yield visitor.context.new_page()
    faults = visitor.faults()
    visitor.context.close()
    assert faults == []


def missing(page: Page, *texts: str) -> list[str]:
    """Those that do not stand on the page as they are."""
    found = text_of(page)
    return [text for text in texts if not says(found, text)]


def press(page: Page, words: str) -> None:
    """Press a button that leads to another page."""
    with page.expect_navigation():
        page.get_by_role("button", name=words, exact=True).click()


def test_given_a_file_of_others_when_it_is_imported_then_its_texts_stay_texts(page: Page) -> None:
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["name", "country", "population", "note"])
    for text in TEXTS:
        rows.writerow([text, text, "1", text[:60]])
        rows.writerow([text, "", text, ""])  # no number: a bad row, whose reason is shown

    page.goto("/")
    page.set_input_files("input[type=file]", {"name": "<b>x.csv", "mimeType": "text/csv",
                                              "buffer": file.getvalue().encode()})  # fmt: skip
    page.locator("form", has=page.locator("input[type=file]")).locator("button[type=submit]").click()
    page.get_by_role("heading", name="Bad rows").wait_for()

    assert missing(page, *TEXTS) == []
    page.goto("/")
    assert "x.csv" in text_of(page)


def test_given_data_of_others_when_operations_show_them_then_they_stay_texts(page: Page) -> None:
    page.goto("/operations")
    page.select_option("#login", "sven")
    press(page, "Go on")
    for text in TEXTS:
        # when: it is no JSON; it is a name, now and later
        page.fill("#data", text)
        press(page, "Run now")
        assert missing(page, text) == []
        contact = {"elementType": "Contacts", "element": {"lastname": text, "assigned_user_id": "19x5"}}
        page.select_option("#operation", "create")
        page.fill("#data", json.dumps(contact))
        press(page, "Run now")
        assert "create was executed" in text_of(page)
        assert missing(page, text) == []
    page.select_option("#operation", "create")
    page.fill("#data", json.dumps(contact))
    press(page, "Defer")

    page.locator("#calls li").first.locator(
        "details.came:not([hidden])"
    ).wait_for()  # shown by the script, then by the server
    assert missing(page, text) == []
    page.reload()
    assert missing(page, text) == []


def test_given_an_order_that_is_none_when_it_is_refused_then_its_texts_stay_texts(page: Page) -> None:
    page.goto("/orders")
    for text in TEXTS:
        with page.expect_navigation():
            page.evaluate(
                """(text) => {
                  const quantity = document.getElementById("quantity");
                  quantity.type = "text";
                  quantity.value = text;
                  document.getElementById("thing").selectedOptions[0].value = text;
                  quantity.form.submit();
                }""",
                text,
            )
        page.locator("#wrong-quantity").wait_for()
        assert says(page.locator("#quantity").get_attribute("value") or "", text)  # a field for numbers shows none
