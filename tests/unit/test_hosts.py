"""Which hosts a database has, and in which order they are tried."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError

from taskqueue import ConfigurationError, QueueService
from taskqueue.storage import hosts as module
from taskqueue.storage.hosts import Address, Hosts, NotWritable, hosts_of
from tests.forking import code_of, forked, halted

MARIADB = "mysql+pymysql://me:secret@one:3307/shop"
ONE, TWO, THREE = Address("one", 3306), Address("two", 3306), Address("three", 3306)


@pytest.mark.parametrize(
    ("url", "given", "wanted"),
    [
        (MARIADB, None, []),
        (MARIADB, ["one", "two"], ["one:3307", "two:3307"]),
        (MARIADB, ["a:1", " b:2 ", "[::1]:3"], ["a:1", "b:2", "[::1]:3"]),
        (MARIADB, "a:1,b:2", ["a:1", "b:2"]),
        (MARIADB, ["only"], ["only:3307"]),
        ("mysql://me@/shop?host=a:1&host=b:2&charset=utf8mb4", None, ["a:1", "b:2"]),
        ("mysql://me@/shop?host=a,b:2", None, ["a", "b:2"]),
        ("mysql://me@/shop?host=a:1&host=b:2", ["c", "d"], ["c", "d"]),
        ("postgresql://me@/shop?host=a:1&host=b", None, ["a:1", "b"]),
        ("postgresql://me@/shop?host=/var/run/postgresql", None, []),
        ("sqlite:///file.db", None, []),
    ],
)
def test_the_hosts_of_a_url(url: str, given: Any, wanted: list[str]) -> None:
    plain, found = hosts_of(make_url(url), given)

    assert [str(address) for address in found] == wanted
    if found:
        assert (plain.host, plain.port) == (found[0].host, found[0].port)
        assert "host" not in plain.query
        assert plain.query.get("charset") == make_url(url).query.get("charset")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["a b"], "'a b' is no host: write 'name', 'name:port' or '\\[address\\]:port'"),
        (["one:0"], "'one:0' is no host"),
        (["one:70000"], "'one:70000' is no host"),
        (["me@one"], "is no host"),
        (["one/shop"], "is no host"),
        (["::1"], "'::1' is no host"),
        (["one", "one"], "names a host twice: name each once, the preferred one first"),
        (["one:3307", "one"], "names a host twice"),
    ],
)
def test_hosts_that_are_none_are_refused_in_one_sentence(given: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        hosts_of(make_url(MARIADB), given)


def test_hosts_are_refused_where_there_can_be_only_one() -> None:
    with pytest.raises(ConfigurationError, match="SQLite is a file of one machine"):
        QueueService("sqlite:///file.db", hosts=["a", "b"]).database  # noqa: B018
    with pytest.raises(ConfigurationError, match="an Engine connects by itself"):
        QueueService(create_engine("sqlite:///file.db"), hosts=["a", "b"]).database  # noqa: B018


class Dialect:
    """Connects to what is there: each connection is the name of its host."""

    def __init__(self, *away: str) -> None:
        self.away = set(away)
        self.tried: list[str] = []

    def connect(self, *, host: str, **_parameters: Any) -> Any:
        self.tried.append(host)
        if host in self.away:
            raise OSError(f"{host} is away")
        return Connection(host)


class Connection:
    """One that can be closed."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Record:
    """What a pool knows of a connection."""

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    shown = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: shown[0])
    return shown


def connected(hosts: Hosts, dialect: Dialect) -> tuple[Any, Record]:
    """A new connection, used once."""
    record = Record()
    connection = hosts._connect(dialect.connect, record, (), {})
    hosts._check_out(connection, record, None)
    return connection, record


def test_the_first_host_that_can_be_written_to_is_taken(moment: list[float]) -> None:
    refused: list[Connection] = []

    def check(connection: Connection) -> None:
        if connection.host == "two":
            refused.append(connection)
            raise NotWritable("it is a copy")

    hosts, dialect = Hosts([ONE, TWO, THREE], check), Dialect("one")

    assert connected(hosts, dialect)[0].host == "three"
    assert hosts.current == THREE
    assert [connection.is_closed for connection in refused] == [True]


def test_a_host_that_failed_is_tried_last_for_a_while_and_then_first_again(moment: list[float]) -> None:
    hosts, dialect = Hosts([ONE, TWO], lambda _: None), Dialect("one")
    connected(hosts, dialect)
    dialect.tried.clear()

    moment[0] += 29
    connected(hosts, dialect)
    moment[0] += 2
    connected(hosts, dialect)

    assert dialect.tried == ["two", "one", "two"]


def test_connections_to_a_host_that_has_failed_are_given_up(moment: list[float]) -> None:
    hosts, dialect = Hosts([ONE, TWO], lambda _: None), Dialect()
    connection, record = connected(hosts, dialect)
    dialect.away = {"one"}
    hosts._check_out(connection, record, None)  # nobody has noticed
    connected(hosts, dialect)

    with pytest.raises(DisconnectionError, match="connections go to two:3306 now"):
        hosts._check_out(connection, record, None)


def test_connections_go_back_when_the_preferred_host_has_come_back(moment: list[float]) -> None:
    hosts, dialect = Hosts([ONE, TWO], lambda _: None), Dialect("one")
    connection, record = connected(hosts, dialect)
    moment[0] += 29
    hosts._check_out(connection, record, None)
    moment[0] += 2
    dialect.away = set()

    with pytest.raises(DisconnectionError, match="is one:3306 back"):
        hosts._check_out(connection, record, None)
    assert connected(hosts, dialect)[0].host == "one"
    connection, record = connected(hosts, dialect)
    moment[0] += 1000
    hosts._check_out(connection, record, None)


def test_a_new_connection_is_used_whatever_others_have_found_meanwhile(moment: list[float]) -> None:
    hosts, dialect = Hosts([ONE, TWO], lambda _: None), Dialect()
    record = Record()
    connection = hosts._connect(dialect.connect, record, (), {})
    dialect.away = {"one"}
    connected(hosts, dialect)

    hosts._check_out(connection, record, None)  # else a pool could try in vain until it gives up

    with pytest.raises(DisconnectionError):
        hosts._check_out(connection, record, None)


def test_when_no_host_can_be_used_each_is_named_with_its_reason(moment: list[float]) -> None:
    hosts = Hosts([ONE, TWO], lambda _: None)

    with pytest.raises(NotWritable, match=r"one:3306 \(one is away\); two:3306 \(two is away\)"):
        connected(hosts, Dialect("one", "two"))


def test_a_thread_that_chooses_a_host_keeps_no_forked_child_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts([ONE, TWO], lambda connection: None)

    with halted(monkeypatch, module.time, "monotonic", lambda: connected(hosts, Dialect())):
        code = code_of(forked(lambda: connected(hosts, Dialect())))

    assert code == 0
