"""Messages that are part of the application's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from taskqueue import QueueService, Runner, SessionMismatch, Task, TaskContext, travel
from taskqueue.channels import Channels, Window
from tests.channels.conftest import NOON, at, get, got, rows, send, waits


@pytest.fixture
def session(service: QueueService) -> Iterator[Session]:
    """The application's own transaction."""
    with Session(service.engine) as opened:
        yield opened


@pytest.fixture
def is_server(url: str) -> bool:
    """Whether several may write at a time."""
    return not url.startswith("sqlite")


def test_what_is_sent_is_there_with_the_commit(channels: Channels, others: Channels, session: Session) -> None:
    send(channels, "x", session=session)
    assert not waits(others)
    session.commit()

    assert got(others) == ["x"]


def test_what_is_sent_never_was_after_a_rollback(channels: Channels, session: Session) -> None:
    channels.subscribe("orders", consumer="billing")
    send(channels, "x", session=session, delay=5, window=Window())
    assert channels.publish("orders", "y", producer="shop", session=session) == 1
    session.rollback()

    with travel(6):
        assert get(channels) is None
    assert rows(channels.queue_service) == 0


def test_a_savepoint_decides_as_well(channels: Channels, session: Session) -> None:
    send(channels, "kept", session=session)
    with pytest.raises(KeyError), session.begin_nested():
        send(channels, "gone", session=session)
        raise KeyError
    session.commit()

    assert got(channels) == ["kept"]


def test_a_window_and_a_delay_hold_in_a_session(channels: Channels, session: Session) -> None:
    with at(NOON):
        send(channels, "closed", session=session, window=Window("13:00", "14:00"))
        send(channels, "late", session=session, delay=60)
        send(channels, "now", session=session)
        session.commit()
        assert got(channels) == ["now"]
    with at(NOON.replace(hour=13, minute=30)):
        assert got(channels) == ["closed", "late"]


@pytest.mark.parametrize("commits", [True, False])
def test_what_is_published_follows_the_transaction(channels: Channels, session: Session, commits: bool) -> None:
    channels.subscribe("orders", consumer="billing")
    channels.subscribe("orders", consumer="stock")
    assert channels.publish("orders", "x", producer="shop", session=session) == 2
    if commits:
        session.commit()
    else:
        session.rollback()

    assert [got(channels), got(channels, consumer="stock")] == ([["x"], ["x"]] if commits else [[], []])


def test_what_is_got_is_gone_with_the_commit(channels: Channels, session: Session) -> None:
    send(channels, "x")
    message = get(channels, session=session)
    assert message is not None
    assert (message.data, message.attempts) == ("x", 1)
    assert rows(channels.queue_service) == 1
    session.commit()

    assert rows(channels.queue_service) == 0


def test_what_is_got_is_there_again_after_a_rollback(channels: Channels, session: Session) -> None:
    send(channels, "x")
    assert get(channels, session=session) is not None
    assert get(channels, session=session) is None
    session.rollback()

    assert got(channels) == ["x"]


def test_others_get_the_next_one_meanwhile_and_wait_for_nobody(
    channels: Channels, others: Channels, session: Session, is_server: bool
) -> None:
    if not is_server:
        pytest.skip("SQLite has one writer")
    send(channels, "one")
    send(channels, "two")
    first = get(channels, session=session)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(got, others).result(20) == ["two"]
    session.rollback()

    assert first is not None
    assert first.data == "one"
    assert got(others) == ["one"]


def test_two_transactions_get_one_each_and_wait_for_nobody(
    channels: Channels, others: Channels, session: Session, is_server: bool
) -> None:
    if not is_server:
        pytest.skip("SQLite has one writer")
    send(channels, "one")
    send(channels, "two")
    assert get(channels, session=session) is not None

    def get_within() -> list[object]:
        with Session(others.queue_service.engine) as other, other.begin():
            return got(others, session=other)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_within).result(20) == ["two"]
    session.rollback()
    assert got(others) == ["one"]


def test_a_transaction_with_repeatable_reads_never_gets_what_others_have_taken(
    channels: Channels, url: str, is_server: bool
) -> None:
    if not is_server:
        pytest.skip("SQLite has one writer")
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    send(channels, "taken")
    send(channels, "next")
    with Session(engine) as session:
        assert channels.is_waiting("orders", consumer="billing", session=session)
        assert get(channels) is not None  # and the transaction still sees it
        if engine.dialect.name == "postgresql":  # which then wants to be repeated, as always
            with pytest.raises(OperationalError, match="could not serialize access"):
                get(channels, session=session)
            session.rollback()
        message = get(channels, session=session)
        session.commit()
    engine.dispose()

    assert message is not None
    assert message.data == "next"
    assert rows(channels.queue_service) == 0


def test_an_expiry_waits_for_nobody_either(
    channels: Channels, others: Channels, session: Session, is_server: bool
) -> None:
    if not is_server:
        pytest.skip("SQLite has one writer")
    send(channels, "one", expires=5)
    send(channels, "two", expires=5)
    assert get(channels, session=session) is not None

    with travel(6), ThreadPoolExecutor(1) as pool:
        assert pool.submit(others.expire).result(20) == 1
        session.commit()
        assert others.expire() == 0


def test_in_a_session_nothing_is_got_that_may_not_be(channels: Channels, session: Session) -> None:
    with at(NOON.replace(hour=13, minute=30)):
        send(channels, "closed", window=Window("13:00", "14:00"))
        send(channels, "expired", expires=60)
        send(channels, "late", delay=7_200, sequence=-1)
        send(channels, "of the web", producer="web", sequence=1)
    with at(NOON.replace(hour=15, minute=31)):
        assert channels.is_waiting("orders", consumer="billing", session=session)
        late = get(channels, session=session)
        assert late is not None
        assert late.data == "late"
        assert get(channels, session=session, producer="shop") is None
        assert channels.peek("orders", consumer="billing", producer="shop", session=session) is None
        web = get(channels, session=session)
        assert web is not None
        assert web.data == "of the web"
        session.commit()
    assert rows(channels.queue_service) == 2


def test_a_rejection_follows_the_transaction(channels: Channels, session: Session) -> None:
    send(channels, "x")
    message = get(channels, session=session)
    assert message is not None
    channels.reject(message, "bad", session=session)
    session.rollback()
    assert waits(channels)
    assert not waits(channels, "invalid")

    message = get(channels, session=session)
    assert message is not None
    channels.reject(message, "bad", session=session)
    session.commit()
    assert not waits(channels)
    assert waits(channels, "invalid")


def test_a_task_takes_and_sends_in_its_own_transaction(channels: Channels, service: QueueService) -> None:
    """What it takes is gone, and what it sends is there, if it comes to its end, and only then."""
    queue = service.create("Sql", "jobs", error="delete", retry_limit=1)
    send(channels, "x")
    _hand_over.append(channels)
    try:
        queue.create_item(Task(forward, ["fails"]))
        assert Runner(queue).run_all().failed == 1
        assert got(channels, consumer="stock") == []
        assert waits(channels)

        queue.create_item(Task(forward, ["works"]))
        assert Runner(queue).run_all().completed == 1
    finally:
        _hand_over.clear()
    assert got(channels, consumer="stock") == ["x"]
    assert not waits(channels)


_hand_over: list[Channels] = []


def forward(ctx: TaskContext, how: str) -> None:
    (channels,) = _hand_over
    with ctx.transaction():
        message = get(channels)
        assert message is not None
        send(channels, message.data, consumer="stock")
        if how == "fails":
            raise KeyError


def test_a_session_of_another_database_is_refused(channels: Channels, tmp_path: object) -> None:
    other = QueueService(f"sqlite:///{tmp_path}/other.db")
    with Session(other.engine) as session:
        with pytest.raises(SessionMismatch):
            send(channels, session=session)
        with pytest.raises(SessionMismatch):
            get(channels, session=session)
    with pytest.raises(SessionMismatch, match="takes an SQLAlchemy Session or Connection, not str"):
        channels.reject(send(channels), "bad", session="session")  # type: ignore[arg-type]
    other.close()


@pytest.mark.parametrize("commits", [True, False])
def test_the_very_first_message_in_a_transaction_that_has_written(
    make_service: Callable[..., QueueService], commits: bool
) -> None:
    """On SQLite nobody else could make its queue then."""
    service = make_service()
    channels, engine = Channels(service), service.engine
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS mine (n INTEGER)")
    _write(engine, channels, commits)

    if commits:
        assert (service.exists("channel:orders:billing"), got(channels)) == (True, [1, 2])
    send(channels, 3)
    assert got(channels) == [3]
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE mine")


def _write(engine: Engine, channels: Channels, commits: bool) -> None:
    with Session(engine) as session:
        session.connection().exec_driver_sql("INSERT INTO mine VALUES (1)")
        send(channels, 1, session=session)
        send(channels, 2, session=session, delay=0)
        if commits:
            session.commit()
