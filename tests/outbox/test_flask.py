"""``Outbox(service, session=db.session, user=...)`` in Flask: a queued call belongs to the request, and to its user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flask_login
import pytest
from flask import Flask, Request, request
from flask.globals import app_ctx
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from taskqueue import ConfigurationError, QueueService, SpecError, travel
from taskqueue.outbox import MessageContext, Outbox, current_message, handles, queued
from tests.outbox.conftest import bookings, names


class Partner:
    """Whom the application tells of its bookings."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.is_away = False

    @handles
    def tell(self, ctx: MessageContext, name: str) -> None:
        if self.is_away:
            raise ConnectionError("nobody answers")
        self.told.append((name, ctx.user))

    @handles
    def tell_both(self, ctx: MessageContext, name: str) -> None:
        queued(self).tell(f"{name}, first")
        if self.is_away:
            raise ConnectionError("nobody answers")
        queued(self).tell(f"{name}, second")

    def plain(self, name: str) -> None:
        queued(self).tell(name)
        assert current_message() is not None


@dataclass
class Shop:
    """An application as users write it; ``form`` is made once, when it starts."""

    app: Flask
    session: scoped_session[Any]
    outbox: Outbox
    partner: Partner
    form: Any
    engine: Engine

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()


def by_hand(app: Flask, url: str) -> tuple[Engine, Any]:
    """A session for each request, as Flask's own documentation shows."""
    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine), scopefunc=lambda: id(app_ctx._get_current_object()))
    app.teardown_appcontext(lambda _error: session.remove())
    return engine, session


def by_extension(app: Flask, url: str) -> tuple[Engine, Any]:
    """Flask-SQLAlchemy."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app)
    with app.app_context():
        return db.engine, db.session


@pytest.fixture(params=[by_hand, by_extension])
def shop(request: pytest.FixtureRequest, url: str, service: QueueService) -> Iterator[Shop]:
    app = Flask("shop")
    app.secret_key = "a long random text"
    flask_login.LoginManager(app).request_loader(user_of)
    engine, session = request.param(app, url)
    own = QueueService(engine)
    outbox = Outbox(own, session=session, user=lambda: flask_login.current_user.get_id())
    partner = outbox.register("partner", Partner())
    shop = Shop(app, session, outbox, partner, queued(partner), engine)
    add_views(shop)
    yield shop
    own.close()
    engine.dispose()


def user_of(request: Request) -> flask_login.UserMixin | None:
    """Whoever the request says."""
    user = flask_login.UserMixin()
    user.id = request.headers.get("X-User")
    return user if user.id else None


def add_views(shop: Shop) -> None:
    @shop.app.post("/bookings/<name>")
    def book(name: str) -> str:
        shop.session.execute(bookings.insert().values(name=name))
        shop.form.tell(name)
        end = request.args.get("end")
        if end == "commit":
            shop.session.commit()
        elif end == "error":
            raise RuntimeError("after the booking")
        return "done"


def test_given_a_request_that_commits_when_delivered_then_it_was_told_in_the_name_of_its_user(shop: Shop) -> None:
    for user, name in (("alice", "first"), ("bob", "second")):
        assert shop.client.post(f"/bookings/{name}?end=commit", headers={"X-User": user}).status_code == 200
    assert shop.client.post("/bookings/third?end=commit").status_code == 200  # nobody is signed in

    assert shop.outbox.flush() == 3
    assert shop.partner.told == [("first", "alice"), ("second", "bob"), ("third", None)]


@pytest.mark.parametrize("end", ["nothing", "error"])
def test_given_a_request_that_does_not_commit_when_it_is_torn_down_then_nothing_is_booked_nor_told(
    shop: Shop, end: str
) -> None:
    status = shop.client.post(f"/bookings/first?end={end}").status_code
    assert status == (500 if end == "error" else 200)
    shop.client.post("/bookings/second?end=commit")  # the queue itself was to be made in the first one

    assert shop.outbox.flush() == 1
    assert [name for name, _user in shop.partner.told] == ["second"]
    assert len(names(shop.engine)) == 1


@pytest.mark.parametrize("url", ["mariadb", "postgresql"], indirect=True)
def test_given_two_requests_at_a_time_when_one_rolls_back_then_the_call_of_the_other_stands(shop: Shop) -> None:
    shop.outbox.prepare()
    is_called, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with shop.app.test_request_context(headers={"X-User": "alice"}):
            shop.form.tell("rolled back")
            is_called.set()
            assert may_end.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert is_called.wait(60)
    shop.client.post("/bookings/committed?end=commit", headers={"X-User": "bob"})
    may_end.set()
    thread.join()

    shop.outbox.flush()
    assert shop.partner.told == [("committed", "bob")]


def test_given_no_request_when_called_then_one_sentence_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"^user= of the outbox has no answer here .* queued\(service, user"):
        shop.form.tell("x")
    with pytest.raises(
        ConfigurationError,
        match=r"^session= of the outbox has no answer here \(Working outside of application context\): call inside of "
        r"app\.app_context\(\), or say queued\(service, session\)$",
    ):
        queued(shop.partner, user="alice").tell("x")

    with Session(shop.engine) as session:
        queued(shop.partner, session, user="alice").tell("of a script")
        session.commit()
    with shop.app.app_context():
        queued(shop.partner, user="bob").tell("of a command")
        shop.session.commit()
    shop.outbox.flush()
    assert shop.partner.told == [("of a script", "alice"), ("of a command", "bob")]


@pytest.mark.parametrize("inside", [False, True])
def test_given_a_handler_that_calls_when_it_fails_then_its_calls_are_not_made(shop: Shop, inside: bool) -> None:
    with shop.app.test_request_context(headers={"X-User": "alice"}):
        shop.form.tell_both("news")
        shop.session.commit()
    shop.partner.is_away = True
    deliver(shop, inside)
    assert shop.outbox.queues.standing()[0].number_of_items() == 1

    shop.partner.is_away = False
    deliver(shop, inside, ahead=1)
    deliver(shop, inside, ahead=1)
    assert shop.partner.told == [("news, first", "alice"), ("news, second", "alice")]


def test_given_a_plain_method_that_calls_when_delivered_then_its_call_goes_on_for_the_same_user(shop: Shop) -> None:
    with shop.app.test_request_context(headers={"X-User": "alice"}):
        shop.form.plain("news")
        shop.session.commit()
    shop.outbox.flush()
    shop.outbox.flush()

    assert shop.partner.told == [("news", "alice")]


def deliver(shop: Shop, inside: bool, ahead: float = 0) -> None:
    """Deliver what is due, with the application's context around it (as ``flask taskqueue`` has) or without."""
    with travel(ahead):
        if not inside:
            shop.outbox.flush()
            return
        with shop.app.app_context():
            shop.outbox.flush()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_given_something_that_gives_no_session_or_user_when_made_then_it_is_refused(
    make_outbox: Callable[..., Outbox], session: Session
) -> None:
    with pytest.raises(SpecError, match=r"queued\(service, session\)"):
        make_outbox(session=session)
    with pytest.raises(SpecError, match="user= of an Outbox must be something to call, not 'alice'"):
        make_outbox(user="alice")
