"""``taskqueue doctor``: what is not as it should be is said, with what to do."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url

from taskqueue import QueueService
from taskqueue.cli import main
from taskqueue.storage import durability
from taskqueue.storage.checkup import _Look, _of_all, examine
from tests.servers import ALL_DATABASES, MariaDBServer


def doctor(url: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["--database", url, "doctor", *options])


@pytest.fixture
def careless(mariadb_server: MariaDBServer) -> Iterator[MariaDBServer]:
    """A server that loses its last commits in a power cut."""
    mariadb_server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    yield mariadb_server
    mariadb_server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_a_database_in_order_then_all_is_well_and_nothing_is_changed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_IN_MEMORY", set())  # where tests keep their files
    if database_url.startswith("sqlite"):
        service = QueueService(database_url)
        service.queues()
        service.close()

    answer = doctor(database_url)

    assert answer.exit_code == 0, answer.output
    assert "!!" not in answer.output
    facts = json.loads(doctor(database_url, "--json").output)
    assert len(facts) >= 2 and all(fact["is_good"] for fact in facts)


def test_given_no_file_then_none_is_made(tmp_path: Any) -> None:
    answer = doctor(f"sqlite:///{tmp_path}/none.db")

    assert answer.exit_code == 2
    assert "there is no database file" in answer.output
    assert list(tmp_path.iterdir()) == []


def test_given_a_server_that_does_not_flush_then_it_is_said_here_and_at_the_first_use(
    careless: MariaDBServer, shared_database: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    url = shared_database("mariadb")

    answer = doctor(url)

    assert answer.exit_code == 1
    told = "innodb_flush_log_at_trx_commit is 2: the last commits are lost; set it to 1: SET GLOBAL"
    assert told in answer.output
    with caplog.at_level(logging.WARNING, "taskqueue"), closing(QueueService(url)) as service:
        service.queues()
    assert told in caplog.text


def test_given_an_engine_of_the_application_that_does_not_flush_then_it_is_said(tmp_path: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous = NORMAL").close())
    service = QueueService(engine)

    (found,) = (one for one in examine(service.database, 30) if not one.is_good and one.what == "synchronous")

    assert found.text.startswith("NORMAL: the last commits are lost in a power cut; set it to FULL: PRAGMA")
    engine.dispose()


def test_given_a_host_that_is_away_then_it_is_named(mariadb_server: MariaDBServer) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{bound.getsockname()[1]}"
        url = make_url(mariadb_server.url("mysql")).set(host=None, port=None)
        named = url.update_query_dict({"host": [f"127.0.0.1:{mariadb_server.port}", away]}, append=True)

        facts = json.loads(doctor(named.render_as_string(hide_password=False), "--json").output)

    (bad,) = (fact for fact in facts if not fact["is_good"])
    assert (bad["host"], bad["what"]) == (away, "answers")
    assert "Background on this error" not in bad["text"]


@pytest.mark.parametrize(("ahead", "is_good"), [(7.0, True), (8.0, False), (-8.0, False)])
def test_clocks_that_are_too_far_apart_for_the_leases_are_told(ahead: float, is_good: bool, tmp_path: Any) -> None:
    database = QueueService(f"sqlite:///{tmp_path}/test.db").database

    (found,) = _of_all(database, [_Look("a", 0.0, ""), _Look("b", ahead, "")], lease=30.0)

    assert (found.what, found.is_good) == ("clocks of the hosts", is_good)


@pytest.mark.parametrize(("lease", "is_told"), [(30.0, False), (20.0, True)])
def test_leases_that_end_before_a_host_is_given_up_are_told_at_the_first_use(
    lease: float, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "taskqueue"):
        QueueService("mysql://me@/shop", hosts=["a", "b"], lease_slice=lease).database  # noqa: B018

    assert ("raise lease_slice" in caplog.text) is is_told
