"""The demonstration's orders: booked in the database, announced to a warehouse that fails at times, and shown."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import expect

from demo_ext.orders.shop import QUEUE
from taskqueue import QueueService
from tests.demo.application import Application
from tests.demo.browser import Answer, Browser, Server, wait_for
from tests.web.toolkit.browser import Complaints, Tab, Visitor, launched, missing

_ORDER = re.compile(
    r"<li>\s*<strong>(?P<what>.*?)</strong>.*?class=\"badge \w+\">(?P<state>\w+)</span>\s*"
    r"<span class=\"says\">\s*(?P<says>.*?)\s*</span>(?P<rest>.*?)</li>",
    re.DOTALL,
)


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    """The server on a fresh database."""
    with Server(application) as running:
        yield running


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Application, Server]]:
    """A server for the tests of what is refused."""
    folder = tmp_path_factory.mktemp("refusing")
    application = Application(f"sqlite:///{folder / 'test.db'}", folder)
    with Server(application) as running:
        yield application, running


@dataclass(frozen=True)
class Shown:
    """An order as the page shows it."""

    what: str
    state: str
    says: str
    #: Where its Revive button leads; "" without one.
    revive: str


class Customer:
    """Somebody on the page of the orders, with a browser without scripts."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def form(self) -> dict[str, str]:
        """The fields of the form as they come."""
        page = self.browser.get("/orders")
        hidden = {name: page.element(rf'name="{name}" value="([^"]+)"') for name in ("token", "key")}
        return {**hidden, "thing": "Kettle", "quantity": "1"}

    def order(self, **fields: str) -> Answer:
        """Fill in the form and send it."""
        return self.browser.post("/orders", {**self.form(), **fields})

    def let(self, mood: str) -> None:
        """Say how the warehouse behaves."""
        assert self.browser.press("/orders/warehouse", mood=mood).status == 303

    def orders(self) -> list[Shown]:
        """What the page lists, the latest first."""
        found = []
        for order in _ORDER.finditer(self.browser.get("/orders").text):
            action = re.search(r'action="(.*?)"', order["rest"])
            says = " ".join(re.sub("<.*?>", " ", order["says"]).split())
            found.append(Shown(order["what"], order["state"], says, action[1] if action else ""))
        return found

    def wait_for(self, *states: str) -> list[Shown]:
        """Wait until the orders stand so, the latest first."""

        def reached() -> list[Shown] | None:
            orders = self.orders()
            return orders if [order.state for order in orders] == list(states) else None

        found: list[Shown] = wait_for(reached, f"the orders are {states}")
        return found


@pytest.fixture
def customer(server: Server) -> Customer:
    return Customer(server.browser())


def messages(application: Application) -> dict[str, int]:
    """How many messages stand on the queue."""
    service = QueueService(application.url)
    try:
        return service.load(QUEUE).statistics() if service.exists(QUEUE) else {"total": 0, "dead": 0}
    finally:
        service.close()


def test_given_an_order_when_booked_then_the_warehouse_is_told_and_its_receipt_kept(
    application: Application, customer: Customer
) -> None:
    assert customer.orders() == []
    answer = customer.order(thing="Umbrella", quantity="7")

    assert (answer.status, answer.location) == (303, "/orders")
    assert customer.wait_for("Delivered") == [Shown("7 × Umbrella", "Delivered", "Receipt R-0001", "")]
    assert "Waiting 0 Delivered 1 Dead 0" in customer.browser.get("/orders").words
    assert messages(application)["total"] == 0


def test_given_the_same_form_twice_when_sent_then_it_is_one_order_and_told_once(customer: Customer) -> None:
    form = customer.form()
    answers = [customer.browser.post("/orders", form) for _ in range(2)]
    customer.order(quantity="2")

    assert [answer.status for answer in answers] == [303, 303]
    second, first = customer.wait_for("Delivered", "Delivered")
    assert (first.says, second.says) == ("Receipt R-0001", "Receipt R-0002")


def test_given_a_warehouse_whose_answers_get_lost_when_told_again_then_nothing_is_put_aside_twice(
    customer: Customer,
) -> None:
    customer.let("moody")
    for quantity in "123":
        customer.order(quantity=quantity)

    orders = customer.wait_for("Delivered", "Delivered", "Delivered")
    assert {order.says for order in orders} == {"Receipt R-0001", "Receipt R-0002", "Receipt R-0003"}


def test_given_a_closed_warehouse_when_all_attempts_have_failed_then_revive_delivers_after_all(
    application: Application, customer: Customer
) -> None:
    customer.let("closed")
    customer.order(quantity="3")

    (dead,) = customer.wait_for("Dead")
    assert dead.says == "ConnectionError: the warehouse answered 503: closed after 4 attempts"
    assert messages(application) | {"total": 0, "dead": 1} == messages(application)
    customer.let("open")
    assert customer.browser.press(dead.revive).status == 303

    assert customer.wait_for("Delivered")[0].says == "Receipt R-0001"
    assert customer.browser.press(dead.revive).status == 303  # once more, from an old page: nothing is dead now
    assert messages(application)["total"] == 0


def test_given_an_order_that_is_refused_when_told_then_it_is_not_tried_again(customer: Customer) -> None:
    customer.order(quantity="101")

    (dead,) = customer.wait_for("Dead")
    assert dead.says == "the warehouse refuses (422): there are never more than 100 after 1 attempt"


@pytest.mark.chaos
def test_given_a_kill_while_an_order_waits_when_started_again_then_it_is_delivered(
    server: Server, customer: Customer
) -> None:
    customer.let("closed")
    customer.order()
    wait_for(lambda: "503" in customer.orders()[0].says, "it was tried")
    server.end(signal.SIGKILL)
    server.start()

    customer.wait_for("Delivered")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"quantity": "0"}, "Enter a whole number from 1 to 999."),
        ({"quantity": "1000"}, "Enter a whole number from 1 to 999."),
        ({"quantity": '"><script>'}, "Enter a whole number from 1 to 999."),
        ({"thing": "Anvil"}, "Choose one of the list."),
    ],
)
def test_given_a_field_that_is_not_offered_when_sent_then_nothing_is_booked(
    refusing: tuple[Application, Server], fields: dict[str, str], sentence: str
) -> None:
    application, customer = refusing[0], Customer(refusing[1].browser())
    answer = customer.order(**fields)

    assert (answer.status, sentence in answer.words, "<script" in answer.text) == (400, True, False)
    assert customer.orders() == []
    assert messages(application)["total"] == 0


def test_given_a_stranger_or_no_token_when_something_is_pressed_then_it_is_refused(
    refusing: tuple[Application, Server],
) -> None:
    customer, stranger = (Customer(refusing[1].browser()) for _ in range(2))
    customer.order(quantity="101")
    (dead,) = customer.wait_for("Dead")

    assert stranger.orders() == []
    assert stranger.browser.press(dead.revive).status == 404
    for path in ("/orders", "/orders/warehouse", dead.revive):
        assert customer.browser.press(path, token="0" * 32).status == 403
    assert customer.browser.press("/orders/warehouse", mood="happy").status == 400
    assert customer.browser.press("/orders/0123456789ab/revive").status == 404
    assert customer.orders() == [dead]


# --- in a real browser ---


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"!!! {reason}; `make test` installs it where it may")
    with launched() as browser:
        yield browser


@pytest.fixture
def tab(chromium: Chromium, server: Server) -> Iterator[Tab]:
    complaints = Complaints()
    context = chromium.new_context()
    complaints.listen_to(context)
    yield Visitor(context, complaints, f"http://127.0.0.1:{server.port}").open("/")
    context.close()
    assert complaints.unexpected() == []


@pytest.mark.browser
def test_given_a_real_browser_when_an_order_dies_and_is_revived_then_every_page_is_fit_to_be_used(tab: Tab) -> None:
    tab.page.get_by_role("link", name="orders with an outbox").click()
    tab.page.get_by_label("How it behaves").select_option(label="It is closed")
    tab.press("Change")
    tab.page.get_by_label("How many").fill("12")
    tab.press("Order")
    revive = tab.page.get_by_role("button", name="Revive 12 × Kettle")

    def shows(state: str) -> bool:
        tab.page.get_by_role("link", name="Look again").click()
        return tab.page.get_by_role("listitem").filter(has_text="12 × Kettle").filter(has_text=state).count() == 1

    wait_for(lambda: shows("Dead"), "it is dead")
    expect(revive).to_be_visible()
    for width in (360, 1280):
        tab.page.set_viewport_size({"width": width, "height": 800})
        assert tab.page.evaluate("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert tab.violations() == []
    tab.page.get_by_label("How it behaves").select_option(label="It answers")
    tab.press("Change")
    revive.click()
    wait_for(lambda: shows("Delivered"), "it is delivered")
    expect(tab.says("Receipt R-0001")).to_be_visible()
