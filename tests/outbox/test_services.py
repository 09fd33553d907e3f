"""Registered services, their options, and what their queued forms have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy.orm import Session

from taskqueue import ConfigurationError, QueueService, SpecError
from taskqueue.outbox import (
    CAP,
    AuditLogService,
    MessageContext,
    MessagingService,
    Outbox,
    ServiceOptions,
    handles,
    on,
    queued,
    unqueued,
)
from tests.outbox.conftest import dead_letters, waiting
from tests.outbox.services import Scripted


class Plain:
    """Knows nothing of an outbox."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def plain(self, *args: Any) -> None:
        self.calls.append(args)


class Declared(Plain):
    outboxed = True


class Broker(MessagingService):
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def emit(self, event: str, data: Any = None, headers: Any = None) -> None:
        self.sent.append((event, data, headers))


class Audit(AuditLogService):
    def __init__(self) -> None:
        self.entries: list[Any] = []

    def log(self, event: str, data: Any = None) -> None:
        self.entries.append((event, data))


# --- outboxed or not ---


@pytest.mark.parametrize(
    ("kind", "configured", "is_queued"),
    [
        (Plain, {}, False), (Plain, {"outboxed": True}, True), (Declared, {}, True),
        (Declared, {"outboxed": False}, False), (Broker, {}, True), (Broker, {"outboxed": False}, False),
        (Audit, {}, True), (Audit, {"outboxed": False}, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["outbox", "registration", "defaults"])
def test_a_service_is_queued_as_it_declares_unless_configured_otherwise(
    make_outbox: Callable[..., Outbox], kind: type, configured: dict[str, Any], is_queued: bool, where: str
) -> None:
    outbox = make_outbox(
        services={"one": configured} if where == "outbox" else None,
        defaults=configured if where == "defaults" and kind is Plain else None,
    )
    thing = outbox.register("one", kind(), **(configured if where in ("registration", "defaults") else {}))

    found = outbox.connect("one")

    assert (found is not thing) is is_queued
    assert unqueued(found) is thing


def test_a_broker_and_an_audit_log_are_called_through_their_own_methods(
    make_outbox: Callable[..., Outbox], service: QueueService
) -> None:
    outbox, broker, audit = make_outbox(), Broker(), Audit()
    outbox.register("broker", broker)
    outbox.register("audit", audit)
    outbox.connect("broker").emit("booked", {"id": 1}, headers={"trace": "7"})
    outbox.connect("audit").log("login", {"who": "alice"})
    assert waiting(service) == 2

    outbox.flush()

    assert (broker.sent, audit.entries) == ([("booked", {"id": 1}, {"trace": "7"})], [("login", {"who": "alice"})])


@pytest.mark.parametrize(("base", "method"), [(MessagingService, "emit"), (AuditLogService, "log")])
def test_a_base_class_says_what_is_to_be_written(
    make_outbox: Callable[..., Outbox], service: QueueService, base: type, method: str
) -> None:
    outbox = make_outbox()
    outbox.register("base", base(), max_attempts=1)
    getattr(outbox.connect("base"), method)("event")

    outbox.flush()

    assert "must say how it" in dead_letters(service)[0].error


# --- options ---


def test_the_defaults_are_those_of_cap_but_for_the_curve() -> None:
    options = ServiceOptions()

    assert (options.chunk_size, options.timeout, options.parallel, options.store_last_error) == (10, 3600, True, True)
    assert CAP.attempts == 20


def test_options_reach_the_queue(make_outbox: Callable[..., Outbox], service: QueueService) -> None:
    outbox = make_outbox(services={"plain": {"queue": "own", "timeout": "2m", "chunk_size": 7, "parallel": False}})
    outbox.register("plain", Plain())
    outbox.prepare()

    spec = service.load("own").spec

    assert (spec.type, spec.lease_time, spec.batch_limit, spec.error, spec.agent) == ("Sql", 120, 7, "dead", "server")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_atempts": 3}, "did you mean 'max_attempts'"), ({"max_attempts": 0}, "attempts must be"),
        ({"timeout": "soon"}, "timeout must be"), ({"timeout": 0}, "timeout must be"),
        ({"chunk_size": 0}, "chunk_size must be"), ({"chunk_size": "10"}, "chunk_size must be"),
        ({"parallel": 1}, "parallel must be True or False"), ({"retry": "often"}, "retry must be"),
        ({"queue": "no spaces"}, "queue"), ({"keep": "for ever"}, "keep must be"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused(
    make_outbox: Callable[..., Outbox], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SpecError, match=reason):
        make_outbox().register("plain", Plain(), **options)


def test_options_that_differ_from_those_before_are_refused(
    make_outbox: Callable[..., Outbox], session: Session
) -> None:
    outbox, plain = make_outbox(), Plain()
    outbox.register("plain", plain)
    queued(plain, session, chunk_size=5).plain()
    queued(plain, session, chunk_size=5, order_key="a").plain()

    with pytest.raises(ConfigurationError, match=r"'plain' was queued with chunk_size=5 \(not 6\) before"):
        queued(plain, session, chunk_size=6)


def test_services_that_share_a_queue_want_the_same_of_it(make_outbox: Callable[..., Outbox], session: Session) -> None:
    outbox, first, second, third = make_outbox(), Plain(), Plain(), Plain()
    outbox.register("first", first, timeout="1m")
    outbox.register("second", second, timeout="1m")
    outbox.register("third", third, timeout="2m", queue="own")
    queued(first, session).plain()
    queued(third, session).plain()

    sentence = (
        "services 'first' and '{}' share the queue 'outbox', and say of it timeout=60.0 and 120.0, keep=None and 1.0"
    )
    with pytest.raises(ConfigurationError, match=sentence.format("second")):
        queued(second, session, timeout="2m", keep=1).plain()
    with pytest.raises(ConfigurationError, match=sentence.format("fourth")):
        outbox.register("fourth", Plain(), timeout="2m", keep=1)


def test_services_that_share_a_queue_have_retry_policies_of_their_own(
    make_outbox: Callable[..., Outbox], service: QueueService, session: Session
) -> None:
    outbox, once, often = make_outbox(), Scripted(ValueError("once")), Scripted(ValueError("often"))
    outbox.register("once", once, max_attempts=1)
    outbox.register("often", often, store_last_error=False)
    queued(once, session).work()
    queued(often, session).work()
    session.commit()

    outbox.flush()

    assert [letter.error for letter in dead_letters(service)] == ["ValueError: once"]
    assert [item.last_error for item in service.load("outbox").items()] == ["ValueError"]


def test_only_the_queue_of_a_service_is_flushed(make_outbox: Callable[..., Outbox]) -> None:
    outbox, first, second = make_outbox(), Plain(), Plain()
    outbox.register("first", first)
    outbox.register("second", second, queue="own")
    queued(first).plain(1)
    queued(second).plain(2)

    assert queued(second).flush() == 1
    assert (first.calls, second.calls) == ([], [(2,)])
    assert outbox.flush("outbox") == 1
    with pytest.raises(SpecError, match="no queue 'outbocks'"):
        outbox.flush("outbocks")


# --- registration ---


def test_one_queue_service_has_one_outbox(make_outbox: Callable[..., Outbox]) -> None:
    make_outbox()

    with pytest.raises(ConfigurationError, match="has an outbox already"):
        make_outbox()


@pytest.mark.parametrize("wrong", [{"kind": "memry"}, {"app_id": "no spaces"}, {"defaults": {"retries": 3}}])
def test_an_outbox_that_makes_no_sense_is_refused(make_outbox: Callable[..., Outbox], wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        make_outbox(**wrong)


def test_names_are_given_once(make_outbox: Callable[..., Outbox]) -> None:
    outbox, plain = make_outbox(), Plain()
    outbox.register("plain", plain)

    with pytest.raises(SpecError, match="has a service 'plain' already"):
        outbox.register("plain", Plain())
    with pytest.raises(SpecError, match="is registered as 'plain' already"):
        outbox.register("other", plain)
    with pytest.raises(SpecError, match=r"no service 'plane'.*'plain'"):
        outbox.connect("plane")
    with pytest.raises(SpecError, match="is no service of an outbox"):
        queued(Plain())


def test_a_class_is_registered_by_a_decorator(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()

    @outbox.service("decorated", outboxed=True)
    class Decorated(Plain):
        outbox_options: ClassVar = {"queue": "own", "chunk_size": 3}

    outbox.connect("decorated").plain(1)

    assert outbox.flush("own") == 1
    assert unqueued(outbox.connect("decorated")).calls == [(1,)]
    assert isinstance(unqueued(outbox.connect("decorated")), Decorated)


def test_a_call_has_one_handler(make_outbox: Callable[..., Outbox]) -> None:
    class Twice:
        @handles("work")
        def first(self, ctx: MessageContext) -> None: ...

        @handles("work")
        def second(self, ctx: MessageContext) -> None: ...

    with pytest.raises(SpecError, match="first and second of service 'twice' both handle 'work'"):
        make_outbox().register("twice", Twice())


# --- queued forms ---


def test_a_marked_method_is_called_for_its_event_by_either_name(
    make_outbox: Callable[..., Outbox], session: Session
) -> None:
    class Named:
        calls: ClassVar[list[Any]] = []

        @handles("book")
        def handle_booking(self, ctx: MessageContext, data: Any) -> None:
            self.calls.append((ctx.event, data))

        @on("booked")
        def listen(self, ctx: MessageContext, data: Any) -> None:
            self.calls.append((ctx.event, data))

    outbox, named = make_outbox(), Named()
    outbox.register("named", named)
    form = queued(named, session)
    form.book(1)
    form.handle_booking(2)
    form.send("book", [3])
    form.listen(4)
    session.commit()

    outbox.flush()

    assert named.calls == [("book", 1), ("book", 2), ("book", [3]), ("listen", 4)]


def test_a_method_that_overrides_a_handler_is_one(make_outbox: Callable[..., Outbox], session: Session) -> None:
    class Base(Plain):
        @on("booked")
        def listen(self, ctx: MessageContext, data: Any) -> None:
            raise NotImplementedError

        @on("booked")
        def left_out(self, ctx: MessageContext, data: Any) -> None:
            raise NotImplementedError

    class Own(Base):
        left_out = None  # type: ignore[assignment]

        def listen(self, ctx: MessageContext, data: Any) -> None:
            self.calls.append((ctx.event, data))

    outbox, own = make_outbox(), Own()
    outbox.register("own", own)
    queued(own, session).emit("booked", 1)
    session.commit()

    outbox.flush()

    assert own.calls == [("booked", 1)]


def test_a_listener_that_fails_makes_the_event_fail_for_all(
    make_outbox: Callable[..., Outbox], service: QueueService, session: Session
) -> None:
    class Listeners:
        calls: ClassVar[list[str]] = []

        @on("booked")
        def first(self, ctx: MessageContext, data: Any) -> None:
            self.calls.append("first")

        @on("booked")
        def second(self, ctx: MessageContext, data: Any) -> bool:
            self.calls.append("second")
            return False

    outbox, listeners = make_outbox(), Listeners()
    outbox.register("listeners", listeners, max_attempts=1)
    queued(listeners, session).emit("booked")
    session.commit()

    outbox.flush()

    assert listeners.calls == ["first", "second"]
    assert [letter.error for letter in dead_letters(service)] == ["the handler returned False"]


def test_a_form_of_one_session_is_not_that_of_another(
    make_outbox: Callable[..., Outbox], service: QueueService, session: Session
) -> None:
    outbox, plain = make_outbox(), Plain()
    outbox.register("plain", plain)
    form = queued(plain, session)

    with Session(service.engine) as other:
        assert queued(plain, other) is not form
        assert queued(form, other) is queued(plain, other)
        assert queued(form) is form
        assert queued(plain, session, delay=1) is not form
    assert repr(form) == "<queued 'plain'>"


def test_given_a_queue_that_an_admin_has_deleted_when_calls_go_on_then_it_is_made_again(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox()
    made: list[int] = []
    append = outbox.register("list", Appending(made))
    outbox.prepare()
    QueueService(service.engine).delete("outbox")
    monkeypatch.setattr("taskqueue.outbox.queues.TRUSTED", 0.0)

    queued(append, session).add(1)
    session.commit()

    assert service.exists("outbox")
    assert outbox.flush() == 1
    assert made == [1]


class Appending:
    def __init__(self, made: list[int]) -> None:
        self.made = made

    def add(self, number: int) -> None:
        self.made.append(number)
