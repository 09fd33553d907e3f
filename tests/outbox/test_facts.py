"""In whose name a call is recorded travels with it; secrets do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import QueueService, SpecError
from taskqueue.outbox import MessageContext, Outbox, queued
from tests.outbox.conftest import waiting
from tests.outbox.services import Scripted


class Noting(Scripted):
    """Notes in whose name its handler is called."""

    def next_step(self, ctx: MessageContext) -> Any:
        self.calls[-1] = (ctx.user, ctx.claims, ctx.locale, ctx.headers)
        return super().next_step(ctx)


@pytest.fixture
def noting() -> Noting:
    return Noting()


ALICE = {"user": "alice", "claims": {"roles": ["agent"]}, "locale": "de"}


@pytest.mark.parametrize("fact", [ALICE, "alice", 7, None])
def test_the_user_of_the_moment_travels(
    make_outbox: Callable[..., Outbox], noting: Noting, session: Session, fact: Any
) -> None:
    outbox = make_outbox(user=lambda: fact)
    outbox.register("noting", noting)
    queued(noting, session).work()
    session.commit()

    outbox.flush()

    assert noting.calls == [("alice", {"roles": ["agent"]}, "de", {}) if fact is ALICE else (fact, {}, None, {})]


def test_what_is_said_of_a_call_goes_before_the_user_of_the_moment(
    make_outbox: Callable[..., Outbox], noting: Noting, session: Session
) -> None:
    outbox = make_outbox(user=lambda: ALICE)
    outbox.register("noting", noting)
    queued(noting, session, user="bob", claims={}, locale=None, headers={"trace": 1}).send("work", None, {"trace": 2})
    session.commit()

    outbox.flush()

    assert noting.calls == [("bob", {}, None, {"trace": 2})]


def test_a_language_of_any_kind_travels_as_text(
    make_outbox: Callable[..., Outbox], noting: Noting, session: Session
) -> None:
    class Locale:
        def __str__(self) -> str:
            return "pt_BR"

    outbox = make_outbox(user=lambda: {"user": 1, "locale": Locale()})
    outbox.register("noting", noting)
    queued(noting, session).work()
    session.commit()

    outbox.flush()

    assert noting.calls == [(1, {}, "pt_BR", {})]


def test_what_a_handler_records_is_in_the_name_of_its_message(
    make_outbox: Callable[..., Outbox], noting: Noting, session: Session
) -> None:
    moment: list[Callable[[], Any]] = [lambda: ALICE]
    outbox = make_outbox(user=lambda: moment[0]())
    outbox.register("noting", noting)
    noting.steps = [lambda ctx: queued(noting).work()]
    queued(noting, session).work()
    session.commit()

    moment[0] = lambda: pytest.fail("a worker has no user of the moment")
    outbox.flush()

    assert noting.calls == [("alice", {"roles": ["agent"]}, "de", {})] * 2


# --- the policy of the service ---


def test_the_handler_is_called_as_that_user(url: str, session: Session) -> None:
    acting: list[Mapping[str, Any]] = []

    @contextmanager
    def switch(run_as: Mapping[str, Any]) -> Iterator[None]:
        acting.append(run_as)
        yield
        acting.pop()

    seen: list[Any] = []
    service = QueueService(url, switch_user=switch)
    outbox, scripted = Outbox(service), Scripted(*[lambda ctx: seen.append(list(acting))] * 2)
    outbox.register("scripted", scripted)
    queued(scripted, session, user="alice", claims={"user": "root", "role": "agent"}).work()
    queued(scripted, session).work()
    session.commit()

    outbox.flush()
    service.close()

    assert seen == [[{"user": "alice", "role": "agent"}], []], "no claim can make her another user"


def test_given_a_user_who_was_deactivated_meanwhile_then_nothing_is_done_in_their_name(
    url: str, session: Session
) -> None:
    service = QueueService(url, identity=lambda run_as: run_as["user"] != "mallory")
    outbox, scripted = Outbox(service), Scripted()
    outbox.register("scripted", scripted)
    queued(scripted, session, user="mallory").work(1)
    queued(scripted, session, user="alice").work(2)
    session.commit()

    outbox.flush()
    (item,) = service.load("outbox").items()
    service.close()

    assert scripted.calls == [2]
    assert "refused to deliver the message for user 'mallory'" in (item.last_error or "")


# --- secrets ---

SECRETS = {
    "Authorization": "Bearer abcdefghijklmnop", "cookie": "a=1", "Set-Cookie": "a=1", "X-API-Key": "k", "apikey": "k",
    "X-CSRF-Token": "t", "Proxy-Authorization": "p", "x-auth": "a", "PHPSESSION": "s", "db_password": "p",
    "client_secret": "s", "trace": "Bearer abcdefghijklmnop", "traces": ["a", {"b": b"Bearer abcdefghijklmnop"}],
    "passphrase": "p", "private_key": "k", "jwt": "j",
}  # fmt: skip


@pytest.mark.parametrize("where", ["headers", "claims", "nested claims", "of the moment", "headers of a call"])
def test_secrets_are_refused(
    service: QueueService, make_outbox: Callable[..., Outbox], noting: Noting, session: Session, where: str
) -> None:
    secret: dict[str, str] = {}
    outbox = make_outbox(user=lambda: {"user": "alice", "claims": secret if where == "of the moment" else {}})
    outbox.register("noting", noting)

    for name, value in SECRETS.items():
        secret = {name: value}
        options = {
            "headers": {"headers": secret}, "claims": {"claims": secret}, "nested claims": {"claims": {"sso": secret}},
        }.get(where, {})  # fmt: skip
        with pytest.raises(SpecError, match="carries a secret, which a queue must not store") as caught:
            queued(noting, session, **options).send("work", None, secret if where == "headers of a call" else None)
        assert ("b" if name == "traces" else name) in str(caught.value)
        assert "abcdef" not in str(caught.value)

    assert waiting(service) == 0


@pytest.mark.parametrize("name", ["traceparent", "Idempotency-Key", "X-Request-Id", "Author", "Content-Type"])
def test_other_headers_travel(make_outbox: Callable[..., Outbox], noting: Noting, session: Session, name: str) -> None:
    outbox = make_outbox()
    outbox.register("noting", noting)
    queued(noting, session, headers={name: "basics"}).work()
    session.commit()

    outbox.flush()

    assert noting.calls == [(None, {}, None, {name: "basics"})]


@pytest.mark.parametrize(("option", "value"), [("headers", ["a"]), ("claims", "admin"), ("headers", {1: 2})])
def test_what_are_no_headers_or_claims_is_refused(
    make_outbox: Callable[..., Outbox], noting: Noting, session: Session, option: str, value: Any
) -> None:
    make_outbox().register("noting", noting)

    with pytest.raises(SpecError, match=f"{option} must"):
        queued(noting, session, **{option: value}).work()


def test_only_what_was_chosen_is_stored(
    service: QueueService, make_outbox: Callable[..., Outbox], noting: Noting, session: Session
) -> None:
    make_outbox(user=lambda: {**ALICE, "session": "s3cr3t", "password": "hunter2"}).register("noting", noting)
    queued(noting, session).work()
    session.commit()

    (item,) = service.load("outbox").items()

    assert item.data == {"service": "noting", "event": "work", "kind": "call", **ALICE}
