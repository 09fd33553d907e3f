"""The page of the demonstration that calls operations, in a real browser: it brings itself up to date."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, Route, expect

from demo_ext.web import desk as page_module
from taskqueue.operations import STATES
from tests.demo.application import Application
from tests.demo.browser import Server
from tests.demo.desk import ANN, contacts
from tests.web.toolkit.browser import Complaints, Tab, Visitor, launched, missing

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"!!! {reason}; `make test` installs it where it may")
    with launched() as browser:
        yield browser


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    with Server(application) as running:
        yield running


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def visitor(chromium: Chromium, server: Server, complaints: Complaints) -> Iterator[Visitor]:
    """Somebody with a browser of their own."""
    context = chromium.new_context()
    complaints.listen_to(context)
    yield Visitor(context, complaints, f"http://127.0.0.1:{server.port}")
    context.close()
    assert complaints.unexpected() == []


@pytest.fixture
def tab(visitor: Visitor) -> Tab:
    """The page, for Sven."""
    return opened(visitor)


def opened(visitor: Visitor, name: str = "Sven") -> Tab:
    """The page, once the visitor has said who they are."""
    tab = visitor.open("/")
    tab.page.get_by_role("link", name="operations on contacts").click()
    tab.page.get_by_label("You are").select_option(label=f"{name} Åkesson (sales)" if name == "Sven" else name)
    tab.press("Go on")
    return tab


def send(tab: Tab, data: Any = ANN, *, button: str = "Defer", operation: str = "create", delay: int = 0) -> None:
    """Fill in the form and press a button."""
    tab.page.get_by_label("Operation", exact=True).select_option(operation)
    tab.page.get_by_label("Data").fill(json.dumps(data))
    tab.page.get_by_label("Delay in seconds").fill(str(delay))
    tab.press(button)


def calls(tab: Tab) -> Locator:
    """The calls on the page."""
    return tab.page.locator("#calls > li")


def then_axe_finds_nothing(tab: Tab) -> None:
    for width in (360, 1280):
        tab.page.set_viewport_size({"width": width, "height": 800})
        assert tab.page.evaluate("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert tab.violations() == []


def test_a_call_is_shown_as_it_goes_on_without_a_reload(application: Application, tab: Tab) -> None:
    # Its first look is held back until the page is marked.
    waiting: list[Route] = []
    tab.page.context.route("**/ops/runs/*", lambda route: waiting.append(route))
    send(tab)
    expect(calls(tab)).to_have_count(1)
    tab.page.evaluate("window.isTheSame = true")
    tab.page.context.unroute("**/ops/runs/*")
    for route in waiting:
        route.continue_()
    call = calls(tab)
    expect(call.locator(".badge")).to_have_text("Done")
    expect(call.get_by_role("button", name="Forget")).to_be_visible()
    expect(call.get_by_role("button", name="Cancel")).to_be_hidden()
    call.get_by_text("Result").click()
    expect(call.locator("pre")).to_contain_text('"lastname": "Able"')
    assert contacts(application) == ["Able"]
    assert tab.page.evaluate("window.isTheSame"), "the page was loaded again"


def test_states_are_spoken_once_and_progress_is_seen(tab: Tab) -> None:
    send(tab, delay=3600)
    address = str(calls(tab).get_attribute("data-self"))
    facts = {
        "id": address[-32:], "operation": "create", "attempts": 1, "created": "2030-01-01T00:00:00Z", "due": None,
        "error": None, "progress": None, "links": {"self": address, "result": f"{address}/result"},
    }  # fmt: skip
    said: dict[str, Any] = {}
    tab.page.evaluate(
        "window.heard = []; new MutationObserver(() => heard.push(document.getElementById('news').textContent))"
        ".observe(document.getElementById('news'), {childList: true, characterData: true, subtree: true})"
    )
    tab.page.route("**/ops/runs/*", lambda route: route.fulfill(json={**facts, **said}))
    call, bar = calls(tab), calls(tab).get_by_role("progressbar", name="Progress of create")

    said.update(state="running", progress={"done": 3, "total": 12, "message": "row 3"})
    expect(call.locator(".badge")).to_have_text("Running")
    expect(bar).to_have_attribute("value", "3")
    expect(call).to_contain_text("row 3")
    then_axe_finds_nothing(tab)
    said.update(progress={"done": 6, "total": 12, "message": "row 6"})
    expect(bar).to_have_attribute("value", "6")
    cancel = call.get_by_role("button", name="Cancel")
    cancel.focus()
    said.update(state="dead", error={"code": "internal_error", "message": "administrators find out why"})
    expect(call.locator(".badge")).to_have_text("Dead")
    expect(call).to_contain_text("administrators find out why (internal_error)")
    expect(bar).to_be_hidden()
    # The button is gone, and the keyboard is still at the call.
    expect(call).to_be_focused()
    expect(call.get_by_role("button", name="Retry")).to_be_visible()
    assert tab.page.evaluate("heard") == ["create: Running", "create: Dead"]


def test_a_server_that_is_away_is_said_and_waited_for(tab: Tab, complaints: Complaints) -> None:
    complaints.allow_lost_connections()
    send(tab, delay=3600)
    expect(calls(tab)).to_have_count(1)
    tab.page.route("**/ops/runs/*", lambda route: route.abort())
    expect(tab.page.get_by_text("cannot be reached")).to_be_visible()
    then_axe_finds_nothing(tab)
    tab.page.unroute("**/ops/runs/*")
    expect(tab.page.get_by_text("cannot be reached")).to_be_hidden()
    expect(calls(tab).locator(".badge")).to_have_text("Scheduled")


def test_the_keyboard_alone_is_enough(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Operation", exact=True).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Delay in seconds")).to_be_focused()
    page.keyboard.type("3600")
    page.keyboard.press("Enter")  # the first button of the form: Defer
    expect(calls(tab).locator(".badge")).to_have_text("Scheduled")
    cancel = calls(tab).get_by_role("button", name="Cancel")
    page.keyboard.press("Tab")  # from the call, to which the address leads
    expect(cancel).to_be_focused()
    with page.expect_navigation():  # the page that is left may also learn that it is cancelled
        page.keyboard.press("Enter")
    expect(calls(tab).locator(".badge")).to_have_text("Cancelled")
    page.keyboard.press("Tab")
    expect(calls(tab).get_by_role("button", name="Forget")).to_be_focused()
    page.keyboard.press("Space")
    expect(calls(tab)).to_have_count(0)
    expect(page.get_by_text("There are none yet.")).to_be_visible()


def test_every_view_is_fit_to_be_used(visitor: Visitor) -> None:
    tab = visitor.open("/operations")
    then_axe_finds_nothing(tab)
    tab = opened(visitor)
    then_axe_finds_nothing(tab)
    send(tab, button="Run now")
    expect(tab.page.get_by_role("status").filter(has_text="create was executed")).to_be_visible()
    then_axe_finds_nothing(tab)
    send(tab, {"elementType": "Contacts", "element": {"assigned_user_id": "19x5"}})
    expect(calls(tab).first.locator(".badge")).to_have_text("Refused")
    send(tab, {"elementType": "Leads"}, operation="describe")
    expect(calls(tab).first.locator(".badge")).to_have_text("Done")
    calls(tab).first.get_by_text("Result").click()
    then_axe_finds_nothing(tab)
    tab.page.get_by_role("link", name="the API").click()
    expect(tab.page.get_by_role("heading", level=1)).to_be_visible()


def test_what_is_refused_is_said_at_its_field(tab: Tab, complaints: Complaints) -> None:
    complaints.allow_statuses(400, 422)
    send(tab, {"elementType": "Nothing", "element": {}})
    expect(tab.alert).to_contain_text("there is no module 'Nothing'")
    then_axe_finds_nothing(tab)
    tab.page.get_by_label("Data").fill("{")
    tab.press("Defer")
    expect(tab.alert).to_contain_text("This is no JSON")
    described = re.compile(r"^JSON, as the operation takes it This is no JSON: ")
    expect(tab.page.get_by_label("Data")).to_have_accessible_description(described)
    then_axe_finds_nothing(tab)


def test_reloading_and_going_back_repeat_nothing(application: Application, tab: Tab, complaints: Complaints) -> None:
    complaints.allow_statuses(409)
    send(tab)
    expect(calls(tab).locator(".badge")).to_have_text("Done")
    tab.page.reload()
    tab.page.go_back()
    tab.page.go_forward()
    expect(calls(tab)).to_have_count(1)
    assert contacts(application) == ["Able"]
    send(tab, button="Run now")
    executed = tab.page.get_by_role("status").filter(has_text="create was executed")
    expect(executed).to_be_visible()
    tab.page.reload()  # sends the form once more
    expect(executed).to_be_visible()
    assert contacts(application) == ["Able", "Able"]


def test_somebody_else_in_the_same_browser_sees_nothing(tab: Tab, visitor: Visitor, complaints: Complaints) -> None:
    complaints.allow_statuses(404)
    send(tab, delay=3600)
    expect(calls(tab)).to_have_count(1)
    other = visitor.open("/operations")
    other.page.get_by_label("Be somebody else").select_option("jo")
    other.press("Change")
    expect(calls(other)).to_have_count(0)
    # The old page asks as Jo now, who is told that there is no such call.
    expect(calls(tab)).to_have_count(0)
    expect(tab.page.locator("#news")).to_have_text("create: not on record any more")


def test_the_words_of_the_states_are_all_there() -> None:
    assert set(page_module.STATES) == {*STATES}
