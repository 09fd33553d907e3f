"""The pages of the orders: the form, what became of each order, Revive, and how the warehouse behaves."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from sqlalchemy import Row, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from ..orders import shop
from ..orders.warehouse import MOODS
from ..tables import demo_order
from .form import KEY
from .guard import browser, check_form

pages = Blueprint("orders", __name__, url_prefix="/orders")
THINGS = ("Kettle", "Lantern", "Umbrella")
#: What the form takes; the warehouse never has that many.
MOST = 999
#: So many orders are shown.
PAGE = 20


@dataclass
class OrderForm:
    """The fields as the user sees them, and the mistakes by the name of the field."""

    #: Made with the form: the same form sent twice is one order.
    key: str = field(default_factory=lambda: secrets.token_hex(6))
    thing: str = THINGS[0]
    quantity: str = "1"
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: MultiDict[str, str]) -> OrderForm:
        """What was sent, checked: without ``errors`` it is fit to be booked."""
        form = cls(thing=fields.get("thing", ""), quantity=fields.get("quantity", "").strip())
        if KEY.fullmatch(fields.get("key", "")):
            form.key = fields["key"]
        if form.thing not in THINGS:
            form.errors["thing"] = "Choose one of the list."
        digits = form.quantity.isascii() and form.quantity.isdigit() and len(form.quantity) <= 3
        if not digits or int(form.quantity) < 1:
            form.errors["quantity"] = f"Enter a whole number from 1 to {MOST}."
        return form


@pages.get("")
def show() -> str:
    """The form, and the orders of this browser."""
    return _page(OrderForm())


@pages.post("")
def book() -> Any:
    """Book an order."""
    check_form()
    form = OrderForm.of(request.form)
    if form.errors:
        return _page(form), HTTPStatus.BAD_REQUEST
    # The same form once more: its transaction is rolled back, and with it what was to be told.
    with suppress(IntegrityError):
        shop.book(form.key, browser(), form.thing, int(form.quantity))
    return _back()


@pages.post("/<key>/revive")
def revive(key: str) -> Any:
    """Have a dead message delivered after all."""
    check_form()
    found = [order for order in _orders(browser()) if order.key == key]
    if not found:
        abort(HTTPStatus.NOT_FOUND)
    shop.outbox.dead.revive(found[0].message)
    return _back()


@pages.post("/warehouse")
def set_mood() -> Any:
    """Say how the warehouse behaves from now on."""
    check_form()
    mood = request.form.get("mood", "")
    if mood not in MOODS:
        abort(HTTPStatus.BAD_REQUEST)
    current_app.extensions["warehouse"].mood = mood
    return _back()


def _page(form: OrderForm) -> str:
    orders = _orders(browser())
    counts = {state: sum(state_of(order) == state for order in orders) for state in ("waiting", "delivered", "dead")}
    return render_template(
        "demo/orders.html", form=form, things=THINGS, most=MOST, orders=orders, counts=counts, state_of=state_of,
        moods=MOODS, mood=current_app.extensions["warehouse"].mood,
    )  # fmt: skip


def _back() -> Any:
    return redirect(url_for("orders.show"), code=HTTPStatus.SEE_OTHER)


def _orders(owner: str) -> list[Row[Any]]:
    """The latest orders of a browser, each beside its message: one that was delivered is gone."""
    message = shop.outbox.Message
    query = (
        select(demo_order, message.state, message.attempts, message.last_error)
        .outerjoin(message, message.id == demo_order.c.message)
        .where(demo_order.c.owner == owner)
        .order_by(demo_order.c.id.desc())
        .limit(PAGE)
    )
    with Session(shop.service.engine) as session:
        return list(session.execute(query))


def state_of(order: Row[Any]) -> str:
    """ "waiting", "delivered" or "dead"."""
    if order.receipt is not None:
        return "delivered"
    return "dead" if order.state == "dead" else "waiting"
