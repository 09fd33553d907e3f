"""Markup and script in every text on every page, in a real browser: nothing becomes an element, nothing runs (S2).

``XSS_STRINGS=64`` tries the whole corpus; without it the first ten, which are of the most different kinds. The lists of
pages are compared with the applications' own maps of addresses, so that a page that comes later has to be named here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page

from tests.attacks import tasks
from tests.attacks.corpus import CORPUS
from tests.attacks.stage import Stage, alone, listening
from tests.attacks.watch import Watched, says, text_of
from tests.web.toolkit.journal import wait_until
from tests.web_api.app import ADMIN
from tests.web_api.world import World

pytestmark = pytest.mark.browser
NUMBER = int(os.environ.get("XSS_STRINGS") or 10)
corpus = pytest.mark.parametrize("number", range(min(NUMBER, len(CORPUS))))
#: Of the application around: tests, not product.
HOSTS = {"static", "ready", "sign_in", "sign_out", "make", "done", "enter"}
#: What only scripts can ask for, by another method than a page or a form has.
FOR_SCRIPTS = {"operations.end"}


@pytest.fixture
def stage(world: World, number: int) -> Iterator[Stage]:
    """The application with one text of the corpus in every field."""
    made = Stage(world, CORPUS[number])
    yield made
    tasks.gate.set()
    made.close()


def watched(browser: Browser, address: str, name: str) -> Watched:
    """Somebody who is signed in under this name."""
    visitor = Watched(browser.new_context())
    assert visitor.context.request.post(f"{address}/enter", form={"name": name}).ok
    return visitor


@corpus
def test_given_a_text_in_every_field_when_every_page_is_opened_then_it_stays_a_text(
    browser: Browser, stage: Stage, number: int
) -> None:
    with listening(stage.app) as address:
        owner, admin = watched(browser, address, stage.text), watched(browser, address, ADMIN)
        try:
            missing = live(owner.context.new_page(), address, stage, admin.context.new_page())
            # when: each page, and each answer that a browser shows
            tabs = {"owner": owner.context.new_page(), "admin": admin.context.new_page()}
            for endpoint in stage.addresses():
                tab = tabs["admin" if endpoint == "taskqueue.outbox_dead" else "owner"]
                missing += opened(tab, address, endpoint, stage)
            for endpoint, path in posts(stage.app, stage.text):
                submitted(tabs["owner"], address, path, stage.text, endpoint)
            as_file(owner, address, stage)
            # then
            assert owner.faults() + admin.faults() == []
            assert missing == []
        finally:
            owner.context.close()
            admin.context.close()


@corpus
def test_given_a_text_in_every_field_when_the_pages_alone_are_opened_then_it_stays_a_text(
    browser: Browser, stage: Stage, number: int
) -> None:
    tasks.gate.set()
    with alone(stage) as (pages, address):
        visitor = Watched(browser.new_context())
        try:
            page = visitor.context.new_page()
            page.goto(f"{address}/login?token={quote(stage.text)}")
            page.goto(f"{address}{pages.login_path()}")
            assert urlsplit(page.url).path == "/dashboard"
            page.goto(f"{address}/runs")
            missing = [] if says(text_of(page), stage.text) else ["the list of runs"]
            for path in stage.board().values():
                page.goto(f"{address}{path}")
            page.goto(f"{address}/dashboard/items?text={quote(stage.text)}")
            missing += [] if says(page.input_value("#tq-text"), stage.text) else ["the filter"]
            page.goto(f"{address}/run/{stage.ended}")
            missing += [] if says(text_of(page), stage.text) else ["the page of a run"]
            for endpoint, path in posts(pages.app, stage.text):
                submitted(page, address, path, stage.text, endpoint, start="/runs")
            assert visitor.faults() == []
            assert missing == []
        finally:
            visitor.context.close()


@corpus
def test_every_address_is_named(stage: Stage, number: int) -> None:
    if number:
        pytest.skip("once is enough")
    named = {*stage.addresses(), *(endpoint for endpoint, _ in posts(stage.app, stage.text))} - {"host"}
    assert {rule.endpoint for rule in stage.app.url_map.iter_rules()} == named | HOSTS | FOR_SCRIPTS
    with alone(stage) as (pages, _):
        others = {rule.endpoint for rule in pages.app.url_map.iter_rules()} - named
    assert others == {"home", "runs", "login", "run_queue"}


# --- what is done ---


def live(page: Page, address: str, stage: Stage, looker: Page) -> list[str]:
    """The page of a run while its task is in hand, and while its script shows how the task fails."""
    page.goto(f"{address}/queue/run/{stage.waiting}")
    missing = []
    try:
        wait_until(lambda: says(text_of(page), f"50%: {stage.text}"), "the page shows what the task reports")
    except AssertionError:
        missing.append(f"the note of a running task: {text_of(page)[:2000]}")
    for query in ("", "?nojs=1"):
        looker.goto(f"{address}/queue/run/{stage.waiting}{query}")
        if not says(text_of(looker), stage.text):
            missing.append(f"the page of a run in hand {query}")
    tasks.gate.set()
    page.get_by_role("alert").wait_for()
    if not says(page.get_by_role("alert").inner_text(), stage.text):
        missing.append("the error, shown by the script")
    page.get_by_text("Traceback", exact=True).click()
    return missing


def opened(page: Page, address: str, endpoint: str, stage: Stage) -> list[str]:
    """Open the addresses of an endpoint; which of them do not show the text."""
    missing = []
    for path, must_show in stage.addresses()[endpoint]:
        answer = page.goto(address + path)
        # 500 is the documented answer of an operation that has crashed.
        assert answer is not None and (answer.status < 500 or endpoint == "operations.result"), path
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        if must_show and not says(text_of(page), stage.text):
            missing.append(f"{endpoint} {path}: {text_of(page)[:1500]}")
    return missing


def posts(app: Flask, text: str) -> list[tuple[str, str]]:
    """Every address that takes forms, filled in with the text where that fits."""
    found = []
    urls = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        if "POST" in (rule.methods or ()) and "GET" not in (rule.methods or ()) and rule.endpoint not in HOSTS:
            found.append(
                (rule.endpoint, urls.build(rule.endpoint, {name: text.replace("/", "_") for name in rule.arguments}))
            )
    return found


def submitted(page: Page, address: str, path: str, text: str, endpoint: str, start: str = "/done") -> None:
    """Submit a form with the text in its fields; whatever is answered is shown."""
    page.goto(address + start)
    with page.expect_navigation():
        page.evaluate(
            """([path, text]) => {
              const form = document.createElement("form");
              form.method = "post";
              form.action = path;
              for (const name of ["csrf_token", "request_id", "item_id", "operation", "name", text]) {
                const field = document.createElement("input");
                field.name = name;
                field.value = text;
                form.append(field);
              }
              document.body.append(form);
              form.submit();
            }""",
            [path, text],
        )
    assert "Traceback" not in text_of(page), endpoint


def as_file(visitor: Watched, address: str, stage: Stage) -> None:
    """What an operation returns as a file is saved by a browser, never shown, whatever type the program gives it."""
    for path in (f"/ops/runs/{stage.calls['document']}/result", f"/queue/run/{stage.ended}/log?format=txt"):
        answer: Any = visitor.context.request.get(address + path)
        assert answer.status == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "\n" not in answer.headers["content-disposition"]
        assert "set-cookie" not in answer.headers
