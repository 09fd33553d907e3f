"""Mistakes of those who write services are told where they are made, not when a message has failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from taskqueue import NotSupported, QueueService, SessionMismatch, SpecError
from taskqueue.outbox import CAP, MessageContext, Outbox, RetryPolicy, after, handles, on, queued, schedule, unschedule
from tests.outbox.conftest import flush, waiting
from tests.outbox.services import Scripted

# --- marks ---


@pytest.mark.parametrize("mark", [handles("work", retry="cap"), on("work", retry="cap")])
def test_a_handler_has_a_policy_by_its_name(
    make_outbox: Callable[..., Outbox], session: Session, mark: Callable[[Any], Any]
) -> None:
    class Failing:
        @mark
        def fail(self, ctx: MessageContext, data: Any) -> bool:
            return False

    outbox, failing = make_outbox(), Failing()
    outbox.register("failing", failing)
    form = queued(failing, session)
    (form.emit if mark.__qualname__.startswith("on") else form.send)("work", 1)
    session.commit()

    assert flush(outbox) == 1
    assert flush(outbox, CAP.pause(1) or 0.0) == 1


@pytest.mark.parametrize("mark", [handles, on])
@pytest.mark.parametrize("wrong", ["capp", 5, True])
def test_a_policy_that_is_none_is_refused_at_the_decoration(mark: Callable[..., Any], wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"retry must be a RetryPolicy or one of 'default', 'cap', not"):
        mark("work", retry=wrong)


@pytest.mark.parametrize("wrong", [lambda self, ctx: None, "", None, 7])
def test_a_mark_without_the_name_of_an_event_is_refused(wrong: Any) -> None:
    with pytest.raises(SpecError, match="@on takes the name of an event"):
        on(wrong)
    with pytest.raises(SpecError, match="@after takes the name of an event"):
        after(wrong, "done")


# --- registration ---


def test_news_of_what_a_service_does_not_have_is_refused(make_outbox: Callable[..., Outbox]) -> None:
    class Mistaken:
        @handles
        def reserve(self, ctx: MessageContext) -> None: ...

        @after("resrve", "succeeded")
        def reserved(self, ctx: MessageContext, result: Any) -> None: ...

    with pytest.raises(SpecError, match=r"@after\('resrve', 'succeeded'\), but no .*did you mean 'reserve'"):
        make_outbox().register("mistaken", Mistaken())


def test_news_of_all_that_a_service_has_is_welcome(make_outbox: Callable[..., Outbox]) -> None:
    class Right:
        @handles("work")
        def do(self, ctx: MessageContext) -> None: ...

        @on("booked")
        def listen(self, ctx: MessageContext, data: Any) -> None: ...

        def plain(self) -> None: ...

        @after("work", "done")
        @after("booked", "failed")
        @after("plain", "succeeded")
        def told(self, ctx: MessageContext, what: Any) -> None: ...

    make_outbox().register("right", Right())


def test_a_class_is_no_service(make_outbox: Callable[..., Outbox]) -> None:
    with pytest.raises(SpecError, match=r"not the class Warehouse: register Warehouse\(\)"):
        make_outbox().register("warehouse", Warehouse)


def test_options_of_a_service_that_is_not_registered(make_outbox: Callable[..., Outbox], service: QueueService) -> None:
    with pytest.raises(SpecError, match="did you mean 'timeout'"):
        make_outbox(services={"warehose": {"timout": 5}})
    outbox = make_outbox(services={"warehose": {"timeout": 5}})
    outbox.register("warehouse", Warehouse())

    with pytest.warns(UserWarning, match=r"a service 'warehose', which is not registered \(did you mean 'warehouse'"):
        outbox.prepare()


# --- arguments ---


class Warehouse:
    def __init__(self) -> None:
        self.made: list[Any] = []

    @handles
    def reserve(self, ctx: MessageContext, *, thing: str, pieces: int = 1) -> None:
        self.made.append(thing)

    @handles("note")
    def write_note(self, ctx: MessageContext, data: Any) -> None:
        self.made.append(data)

    @on("booked")
    def listen(self, ctx: MessageContext, data: Any) -> None:
        self.made.append(data)

    @on("counted")
    def listen_in_vain(self, ctx: MessageContext) -> None: ...

    def plain(self, number: int) -> None:
        self.made.append(number)

    def unread(self, one: int, other: int) -> None:
        """Its signature cannot be read."""

    unread.__signature__ = "damaged"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["persistent", "memory", "off"])
def test_arguments_that_the_handler_does_not_take_are_refused_when_they_are_recorded(
    make_outbox: Callable[..., Outbox], service: QueueService, session: Session, kind: str
) -> None:
    outbox, warehouse = make_outbox(kind=kind), Warehouse()
    outbox.register("warehouse", warehouse)
    form = queued(warehouse, session)

    for call, sentence in {
        lambda: form.reserve(): r"warehouse\.reserve\(ctx, \*, thing, pieces=1\) .*: missing a required.* 'thing'",
        lambda: form.reserve(thing="kettle", size=3): "unexpected keyword argument 'size'",
        lambda: form.reserve("kettle"): "too many positional arguments",
        lambda: form.plain(): "missing a required argument: 'number'",
        lambda: form.send("note", {"text": "a"}): r"write_note\(ctx, data\).*entries of a mapping by name",
        lambda: form.emit("counted", 3): r"listen_in_vain\(ctx\) cannot be called so: too many",
    }.items():
        with pytest.raises(SpecError, match=sentence):
            call()
    session.commit()

    assert (warehouse.made, waiting(service)) == ([], 0)


def test_arguments_that_fit_are_recorded_by_whatever_name(make_outbox: Callable[..., Outbox], session: Session) -> None:
    outbox, warehouse = make_outbox(), Warehouse()
    outbox.register("warehouse", warehouse)
    form = queued(warehouse, session)
    form.reserve(thing="kettle")
    form.write_note("a")
    form.listen("called")
    form.emit("booked")
    form.plain(number=1)
    form.unread(1, 2)
    session.commit()

    assert outbox.flush() == 6
    assert warehouse.made == ["kettle", "a", "called", None, 1]


def test_a_schedule_and_an_inbox_refuse_what_nothing_handles(
    make_outbox: Callable[..., Outbox], service: QueueService
) -> None:
    outbox, warehouse = make_outbox(), Warehouse()
    outbox.register("warehouse", warehouse)
    inbox = outbox.inbox("warehouse")

    with pytest.raises(SpecError, match=r"no handler of the event 'boked': .*\(did you mean 'booked'\?\)"):
        inbox.receive("1", "boked")
    with pytest.raises(SpecError, match=r"listen_in_vain\(ctx\) cannot be called so"):
        inbox.receive("1", "counted", 3)
    with pytest.raises(SpecError, match="no handler of the event 'boked'"):
        schedule(warehouse).emit("boked")
    with pytest.raises(SpecError, match=r"missing a required .*argument: 'thing'"):
        schedule(warehouse).reserve()

    assert waiting(service) == 0


def test_a_decorator_may_give_arguments_of_its_own(make_outbox: Callable[..., Outbox]) -> None:
    def with_receipt(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def call(*args: Any) -> None:
            function(*args, receipt=4711)

        return call

    class Decorated(Warehouse):
        @with_receipt
        def book(self, thing: str, *, receipt: int) -> None:
            self.made.append((thing, receipt))

    outbox, decorated = make_outbox(), Decorated()
    outbox.register("decorated", decorated)
    queued(decorated).book("kettle")

    assert outbox.flush() == 1
    assert decorated.made == [("kettle", 4711)]


# --- names ---


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("_private", "'_private' of service 'warehouse' is private: only public methods are queued"),
        ("made", "service 'warehouse' has no method or handler 'made'"),
        ("plane", "service 'warehouse' has no method or handler 'plane' (did you mean 'plain'?)"),
    ],
)
def test_a_name_that_cannot_be_called_is_told(make_outbox: Callable[..., Outbox], name: str, sentence: str) -> None:
    warehouse = make_outbox().register("warehouse", Warehouse())

    with pytest.raises(AttributeError) as caught:
        getattr(queued(warehouse), name)

    assert str(caught.value) == sentence


# --- what hangs ---


@pytest.mark.parametrize("kind", ["persistent", "memory", "off"])
@pytest.mark.parametrize("whose", ["outbox", "form"])
def test_a_handler_that_flushes_would_wait_for_itself(
    make_outbox: Callable[..., Outbox], session: Session, kind: str, whose: str
) -> None:
    def flush_inside(ctx: MessageContext) -> None:
        with pytest.raises(NotSupported, match=r"flush\(\) inside a handler would wait"):
            (outbox if whose == "outbox" else queued(scripted)).flush()
        refused.append(ctx.message_id)

    outbox, scripted, refused = make_outbox(kind=kind), Scripted(flush_inside), list[str]()
    outbox.register("scripted", scripted)
    ref = queued(scripted, session).work()
    session.commit()
    outbox.flush()

    assert refused == [ref.id]
    assert repr(ref) == f"<message {ref.id}>"


# --- sessions ---


class Asynchronous:
    """As an AsyncSession looks, whose library may be missing here."""

    def run_sync(self, work: Callable[..., Any]) -> Any:
        raise NotImplementedError


def test_what_is_no_session_is_refused(
    make_outbox: Callable[..., Outbox], service: QueueService, session: Session
) -> None:
    outbox, warehouse = make_outbox(), Warehouse()
    outbox.register("warehouse", warehouse)

    for wrong, remedy in {
        service.engine: "not Engine: open one: with Session",
        sessionmaker(service.engine): "not sessionmaker: call it",
        Asynchronous(): r"not Asynchronous: say await session.run_sync\(",
        "customer 7": "not str: options of a call are given by name",
    }.items():
        for use in (queued, schedule, lambda thing, given: unschedule(thing, "plain", given)):
            with pytest.raises(SessionMismatch, match=remedy):
                use(warehouse, wrong)
        with pytest.raises(SessionMismatch, match=remedy):
            outbox.inbox("warehouse").receive("1", "booked", session=wrong)  # type: ignore[arg-type]


def test_what_is_no_session_of_the_moment_is_refused(make_outbox: Callable[..., Outbox], service: QueueService) -> None:
    outbox, warehouse = make_outbox(session=lambda: service.engine), Warehouse()
    outbox.register("warehouse", warehouse)

    with pytest.raises(SessionMismatch, match="not Engine: open one"):
        queued(warehouse).plain(1)


@pytest.mark.parametrize("jitter", [5, 1.1])
def test_a_jitter_is_a_share(jitter: float) -> None:
    with pytest.raises(SpecError, match="jitter must be a number from 0 to 1"):
        RetryPolicy(jitter=jitter)
