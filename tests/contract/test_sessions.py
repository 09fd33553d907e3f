"""Items that belong to the caller's own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.orm import Session

from taskqueue import BatchQueue, NotSupported, QueueService, SessionMismatch
from tests.contract.backends import Backend, once_per_database, only_memory, only_servers, only_sql
from tests.contract.conftest import MakeQueue
from tests.servers import SERVERS, Server


@pytest.fixture(params=["our engine", "an independent engine"])
def engine(request: pytest.FixtureRequest, service: QueueService, backend: Backend) -> Iterator[Engine]:
    """An engine on the queue's database."""
    if request.param == "our engine":
        yield service.engine
        return
    engine = create_engine(backend.url)
    yield engine
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


@pytest.fixture(params=[Session, Connection], ids=["Session", "Connection"])
def session(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Any]:
    """The caller's own transaction, as Session or as Connection."""
    opened = Session(engine) if request.param is Session else engine.connect()
    with opened:
        yield opened


@only_sql
def test_an_item_is_there_once_its_transaction_is_committed(queue: BatchQueue, other: BatchQueue, session: Any) -> None:
    item = queue.create_item("a", weight=3, delay=60, session=session)
    assert other.number_of_items() == 0

    session.commit()

    assert other.fetch_item(item.id) == item


@only_sql
def test_an_item_never_was_when_its_transaction_is_rolled_back(
    queue: BatchQueue, other: BatchQueue, session: Any
) -> None:
    item = queue.create_item("a", session=session)
    queue.create_items("bcd", session=session)

    session.rollback()

    assert queue.number_of_items() == other.number_of_items() == 0
    assert other.claim_item() is None
    assert other.fetch_item(item.id) is None


@only_sql
def test_a_savepoint_that_is_rolled_back_takes_its_items_along(queue: BatchQueue, session: Any) -> None:
    queue.create_item("kept", session=session)
    savepoint = session.begin_nested()
    queue.create_item("lost", session=session)

    savepoint.rollback()
    queue.create_item("kept too", session=session)
    session.commit()

    assert [item.data for item in queue.items()] == ["kept", "kept too"]


@only_sql
def test_a_savepoint_that_is_released_shares_the_fate_of_its_transaction(queue: BatchQueue, session: Any) -> None:
    queue.create_item("first", session=session)
    savepoint = session.begin_nested()
    queue.create_item("second", session=session)
    savepoint.commit()

    session.rollback()

    assert queue.number_of_items() == 0


@only_sql
def test_many_items_join_a_transaction(queue: BatchQueue, other: BatchQueue, session: Any) -> None:
    assert queue.create_items(range(1500), session=session) == 1500
    assert other.number_of_items() == 0

    session.commit()

    assert [item.data for item in other.items()] == list(range(1500))


@only_sql
def test_a_key_joins_a_transaction(queue: BatchQueue, session: Any) -> None:
    first = queue.create_item("a", dedup_key="k", session=session)
    assert queue.create_item("b", dedup_key="k", session=session).id == first.id

    session.rollback()

    second = queue.create_item("c", dedup_key="k")
    assert second.data == "c"
    assert queue.number_of_items() == 1


@only_sql
def test_the_callers_session_stays_open_and_usable(queue: BatchQueue, engine: Engine) -> None:
    with Session(engine) as session:
        queue.create_item("a", session=session)
        assert session.in_transaction()
        session.commit()
        queue.create_item("b", session=session)
        session.commit()

    assert queue.number_of_items() == 2


@only_sql
def test_a_refused_item_leaves_the_transaction_alone(queue: BatchQueue, engine: Engine) -> None:
    with Session(engine) as session:
        queue.create_item("a", session=session)
        with pytest.raises(ValueError, match="data"):
            queue.create_item(object(), session=session)
        session.commit()

    assert queue.number_of_items() == 1


@once_per_database
def test_another_database_is_refused(
    queue: BatchQueue, backend: Backend, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'another.db'}"
    if backend.database in SERVERS:
        server = request.getfixturevalue(f"{backend.database}_server")
        server.create_database("another")
        url = server.url("another")
    engine = create_engine(url)

    with engine.connect() as connection, pytest.raises(SessionMismatch, match="another"):
        queue.create_item("a", session=connection)

    engine.dispose()
    if backend.database in SERVERS:
        server.drop_database("another")
    assert queue.number_of_items() == 0


@once_per_database
def test_a_database_of_another_kind_is_refused(queue: BatchQueue, backend: Backend, postgresql_server: Server) -> None:
    engine = create_engine("sqlite://" if backend.database != "sqlite" else postgresql_server.url("postgres"))

    with Session(engine) as session, pytest.raises(SessionMismatch, match="session= works on"):
        queue.create_item("a", session=session)

    engine.dispose()
    assert queue.number_of_items() == 0


@only_sql
def test_what_is_no_session_is_refused(queue: BatchQueue) -> None:
    with pytest.raises(SessionMismatch, match="not Engine"):
        queue.create_item("a", session=create_engine("sqlite://"))  # type: ignore[arg-type]
    with pytest.raises(SessionMismatch, match="not str"):
        queue.create_items("ab", session="session")  # type: ignore[arg-type]

    assert queue.number_of_items() == 0


@only_memory
def test_memory_cannot_join_a_transaction(make_queue: MakeQueue) -> None:
    queue = make_queue()
    engine = create_engine("sqlite://")

    with Session(engine) as session:
        with pytest.raises(NotSupported, match=r"type Memory .*use type Sql"):
            queue.create_item("a", session=session)
        with pytest.raises(NotSupported, match=r"type Memory .*use type Sql"):
            queue.create_items("ab", session=session)

    engine.dispose()
    assert queue.number_of_items() == 0


@only_sql
def test_given_a_session_when_it_commits_then_the_bell_rings_once_and_not_before(
    service: QueueService, make_queue: MakeQueue
) -> None:
    queue, heard = make_queue(), []
    queue.settings.bell.listen(heard.append)
    try:
        with Session(service.engine) as session:
            queue.create_item(1, session=session)
            with session.begin_nested():
                queue.create_item(2, session=session)
            assert heard == []  # a released savepoint decides nothing
            session.commit()
            assert heard == [queue.name]

            queue.create_item(3, session=session)
            session.rollback()
            session.execute(text("SELECT 1"))
            session.commit()
    finally:
        queue.settings.bell.leave(heard.append)

    assert heard == [queue.name]


@only_servers
def test_a_transaction_in_two_phases_tells_no_listeners_which_postgresql_forbids(
    service: QueueService, make_queue: MakeQueue
) -> None:
    queue = make_queue()
    with Session(service.engine, twophase=True) as session:
        queue.create_item("a", session=session)

        assert not service.database.joined(session).can_tell
        session.rollback()
    assert queue.number_of_items() == 0
