"""What is to be done after a commit is done once, and never for what was taken back, in whichever way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from taskqueue.storage.committed import after_commit

Wish = Callable[[str], None]


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def wish(session: Session, done: list[str]) -> Wish:
    return lambda name: after_commit(session, name, lambda: done.append(name))


def test_it_is_done_in_order_once_and_not_before_the_commit(session: Session, wish: Wish, done: list[str]) -> None:
    for name in ("a", "b", "a"):
        wish(name)
    assert done == []
    session.commit()
    session.commit()

    assert done == ["a", "b"]


@pytest.mark.parametrize("end", [Session.rollback, Session.close, Session.reset, Session.invalidate])
def test_given_an_end_without_a_commit_when_the_session_goes_on_then_nothing_of_it_is_done(
    session: Session, wish: Wish, done: list[str], end: Callable[[Session], None]
) -> None:
    session.execute(text("SELECT 1"))
    wish("lost")
    end(session)
    wish("kept")
    session.commit()

    assert done == ["kept"]


def test_given_a_savepoint_that_is_rolled_back_when_the_rest_commits_then_only_the_rest_is_done(
    session: Session, wish: Wish, done: list[str]
) -> None:
    wish("before")
    savepoint = session.begin_nested()
    wish("inside")
    wish("before")
    with session.begin_nested():
        wish("inside, released")
    savepoint.rollback()
    wish("behind")
    session.commit()

    assert done == ["before", "behind"]


@pytest.mark.parametrize("commits", [True, False])
def test_given_a_released_savepoint_when_the_transaction_ends_then_that_decides(
    session: Session, wish: Wish, done: list[str], commits: bool
) -> None:
    with session.begin_nested():
        wish("inside")
        with session.begin_nested():
            wish("further inside")
    assert done == []
    session.commit() if commits else session.rollback()

    assert done == (["inside", "further inside"] if commits else [])


def test_given_something_that_fails_when_done_then_the_rest_is_done_and_the_commit_stands(
    session: Session, wish: Wish, done: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    after_commit(session, "broken", lambda: 1 / 0)
    wish("next")
    session.commit()

    assert done == ["next"]
    assert "ZeroDivisionError" in caplog.text
