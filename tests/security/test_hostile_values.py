"""Hostile values: refused with one clear sentence, or stored unchanged, and the same on all databases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import DatabaseError, QueueService, TaskQueueError
from tests.security import allowed, hostile
from tests.security.conftest import empty
from tests.security.places import OF_TEXTS, OF_VALUES, Store
from tests.servers import ALL_DATABASES

#: No value takes a place so long (seconds), on the busiest machine either: what cannot be stored is not tried for ever.
LONGEST = 30.0


@pytest.fixture(scope="module")
def stores(shared_database: Callable[..., str]) -> Iterator[dict[str, Store]]:
    """One of each kind of database."""
    urls = {kind: shared_database(kind, "hostile") for kind in ALL_DATABASES}
    made = {kind: Store(QueueService(url, allow=[allowed.__name__])) for kind, url in urls.items()}
    yield made
    for store in made.values():
        store.service.close()
    for url in urls.values():
        empty(url)


def outcome(store: Store, place: str, value: Any) -> str:
    """What becomes of the value there: a sentence that must be the same on each database."""
    before, began = store.rows(), time.monotonic()
    try:
        found = getattr(store, place)(value)
    except DatabaseError as error:
        raise AssertionError(f"only the database has refused {value!r:.40} in {place}") from error
    except (TaskQueueError, AssertionError) as error:
        found = f"refused: {type(error).__name__}: {error}"
        assert "\n" not in found and str(error)
        found.encode()  # it can be logged and stored
    else:
        found = "stored" if _is_same(found, value) else f"stored as {found!r}"
    assert time.monotonic() - began < LONGEST, "it was tried again and again"
    assert store.rows() == before, f"{value!r:.40} has left something behind in {place}"
    return found


def _is_same(found: Any, value: Any) -> bool:
    if isinstance(value, float) and isinstance(found, float):
        return repr(found) == repr(value)
    return type(found) is type(value) and bool(found == value)


def outcomes(stores: dict[str, Store], place: str, values: dict[str, Any]) -> dict[str, str]:
    """The table of one place, which is the same on all databases."""
    tables = {
        kind: {name: outcome(store, place, value) for name, value in values.items()} for kind, store in stores.items()
    }
    different = {
        name: {kind: table[name] for kind, table in tables.items()}
        for name in values
        if len({table[name] for table in tables.values()}) > 1
    }
    assert different == {}
    return tables[ALL_DATABASES[0]]


@pytest.mark.parametrize("place", OF_VALUES)
def test_given_hostile_values_when_stored_then_all_databases_answer_alike(stores: dict[str, Store], place: str) -> None:
    table = outcomes(stores, place, hostile.VALUES)

    changed = {name: found[:200] for name, found in table.items() if not found.startswith(("stored", "refused"))}
    assert changed == {}
    for name in ("NUL", "a lone surrogate", "depth 100000", "17 MB", "an object", "itself"):
        assert table[name].startswith("refused"), (name, table[name][:200])
    for name in ("four bytes", "combining", "capitals", "a trailing space", "70 kB", "quotes", "-2**63"):
        assert table[name] == "stored" or place == "header", (name, table[name][:200])


@pytest.mark.parametrize("place", OF_TEXTS)
def test_given_hostile_texts_when_stored_then_all_databases_answer_alike(stores: dict[str, Store], place: str) -> None:
    # Whether anything of that size is stored, the values tell.
    outcomes(stores, place, {name: text for name, text in hostile.TEXTS.items() if name != "17 MB"})


@pytest.mark.parametrize(
    "place", ["argument", "title", "dedup_key", "order_key", "message", "input", "error", "command_argument"]
)
def test_given_generated_texts_when_stored_then_all_databases_answer_alike(
    stores: dict[str, Store], place: str
) -> None:
    texts = hostile.generated(200)
    assert len(texts) >= 150
    if place in ("message", "input", "error", "command_argument"):  # each of which takes several transactions
        texts = texts[::8]

    outcomes(stores, place, dict(zip(texts, texts, strict=True)))


def test_given_hostile_json_on_the_command_line_when_stored_then_all_databases_answer_alike(
    stores: dict[str, Store],
) -> None:
    table = outcomes(stores, "command_json", hostile.JSON_TEXTS)

    kept = {name for name, found in table.items() if found == "stored"}
    assert kept == {
        "minus zero", "-2**63", "2**63", "5000 digits in text", "a key twice", "a key like a tag", "four bytes",
    }  # fmt: skip
    refused = {name: found for name, found in table.items() if name not in kept}
    assert all(found.startswith("refused: TaskFailed: Error: ") and len(found) < 400 for found in refused.values())
    for name in ("5000 digits", "5000 digits in a list"):
        assert "argument 1 has a number of more than 4300 digits" in table[name]


def test_given_a_statement_that_the_server_refuses_for_its_size_when_sent_then_it_is_not_sent_for_ever(
    shared_database: Callable[..., str],
) -> None:
    """With a ``max_bytes`` beyond MariaDB's ``max_allowed_packet`` (16 MiB), which ends the connection."""
    url = shared_database("mariadb", "hostile")
    service = QueueService(url, max_bytes=64_000_000)
    queue = service.create("Sql", "bulky")
    queue.create_item("before")
    began = time.monotonic()

    with pytest.raises(DatabaseError):  # the server's own words, or that the connection was lost each time
        queue.create_item("x" * 20_000_000)

    assert time.monotonic() - began < 40  # it is tried for ten seconds at most
    queue.create_item("after")
    assert [item.data for item in queue.items()] == ["before", "after"]
    queue.delete()
    service.close()
