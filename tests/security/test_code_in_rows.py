"""The other tables, written past the API: nothing in them has code of the writer's choice executed either."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from taskqueue import ErrorMode, QueueService, Runner, SpecError, Task, TaskQueueError, Worker, travel
from taskqueue.channels import Channels, Subscription
from taskqueue.operations import OperationContext, Operations
from taskqueue.outbox import Outbox
from taskqueue.payload import Codec
from taskqueue.periodic import tick
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from taskqueue.worker import roster
from tests.contract.records import drive, store
from tests.security import allowed, attacks
from tests.security.allowed import effects, good
from tests.security.gadgets import Gadget
from tests.security.test_code_in_items import plant, write
from tests.web_api.app import ADMIN, Visitor, create_app, service_of

#: What names in rows might try to reach, beside the names of callbacks.
ATTRIBUTES = (
    "__class__", "__init__", "__call__", "__reduce__", "__globals__", "__subclasshook__", "__dict__",
    "__getattribute__",
    "work.__globals__", "work.__func__", "work.__self__", "_private", "gadget", "gadget.method", "gadget.__call__",
    "inner", "Service.work", "mro", "../work", "work()", "{0.__class__}", "%s", "{{7*7}}", "", " ",
)  # fmt: skip


# --- runs ---


def some(service: QueueService, things: Iterable[Any]) -> list[Any]:
    """All of them on SQLite, each sixth elsewhere: what reads the rows is the same, and takes longer there."""
    found = list(things)
    return found if service.database.dialect.single_writer else found[::6]


def definitions() -> Iterator[tuple[str, str]]:
    """Stored definitions of runs that ask for a step at their end which must not be taken."""
    for name in attacks.names():
        yield Definition(attacks.TEMPLATES[3], on_end=name, on_end_url=name).pack(Codec(), "jobs", ""), name
    for text in [*attacks.texts().values()][::4]:
        yield text, ""
    for hint in ({"py/object": "os.system"}, ["os:system"], 7):
        stored = {**dataclasses.asdict(Definition("x")), "on_end": hint, "buttons": []}
        yield json.dumps({"v": 1, "data": stored}), ""


def begun(service: QueueService, text: str) -> tuple[SqlBase, str]:
    """A run with one good task, and that definition."""
    queue = service.create("Sql", "jobs")
    assert isinstance(queue, SqlBase)
    queue.enqueue(good, "a task")
    run = store(queue).create(queue, Definition("Import"), owner="ann")
    write(service, "UPDATE {run} SET definition = :text WHERE id = :id", text=text, id=run.id)
    return queue, run.id


def test_given_runs_written_by_others_when_driven_then_their_last_step_is_not_taken(service: QueueService) -> None:
    for text, name in some(service, definitions()):
        queue, run_id = begun(service, text)
        with suppress(TaskQueueError):
            drive(queue, store(queue).get(run_id))
        found = store(queue).get(run_id)
        assert found.status != "completed" or name == ""
        assert attacks.marks() == []
        queue.delete()


def test_given_runs_written_by_others_when_shown_and_driven_by_the_page_then_their_last_step_is_not_taken(
    service: QueueService, url: str
) -> None:
    app = create_app(url, TASKQUEUE_ALLOW=[allowed.__name__])
    adam = Visitor(app, ADMIN)
    for text, _name in some(service, definitions()):
        queue, run_id = begun(service, text)
        assert adam.post(run_id, "drive").status_code in (200, 409)
        for view in ("", "state", "log"):
            answer = adam.get(run_id, view)
            assert answer.status_code == 200
            assert "uid=" not in answer.text
            assert attacks.marks() == []
        queue.delete()
    service_of(app).close()


def test_given_problems_written_by_others_when_shown_then_they_are_texts(service: QueueService, url: str) -> None:
    app = create_app(url, TASKQUEUE_ALLOW=[allowed.__name__])
    adam = Visitor(app, ADMIN)
    queue, run_id = begun(service, Definition("x").pack(Codec(), "run/jobs", ""))
    for text in some(service, [*attacks.everything().values(), *map(json.dumps, attacks.TEMPLATES)]):
        write(service, "UPDATE {run} SET problem = :text, status = 'blocked' WHERE id = :id", text=text, id=run_id)
        for view in ("", "state"):
            assert adam.get(run_id, view).status_code == 200
    assert Runs.of(queue).get(run_id).status == "blocked"
    service_of(app).close()


# --- results, schedules, registrations ---


def test_given_results_written_by_others_when_read_then_they_are_data(service: QueueService) -> None:
    queue = service.create("Sql", "jobs", keep_result=3600)
    insert = (
        "INSERT INTO {result} (item_id, queue_name, uid, data, end_time, expire_time) "
        "VALUES (:id, 'jobs', 'u', :text, {now}, {now} + 3600000)"
    )
    for number, text in enumerate(attacks.everything().values(), 1):
        write(service, insert, id=number, text=text)
        with suppress(TaskQueueError):
            found = queue.result_of(number)
            assert found is not None
            assert not isinstance(found.value, Gadget)
            assert not callable(found.value)
        assert attacks.marks() == []


def test_given_schedules_written_by_others_when_due_then_their_tasks_are_refused(service: QueueService) -> None:
    queue = service.create("Sql", "jobs", error="dead")
    fine = service.schedule("fine", "0 * * * *", Task(good, ("fine",)), queue="jobs")
    for number, text in enumerate(attacks.everything().values()):
        name = f"planted-{number}"
        service.schedule(name, "0 * * * *", Task(good, ("replaced",)), queue="jobs")
        write(service, "UPDATE {periodic} SET data = :text WHERE name = :name", text=text, name=name)
    for number, (column, name) in enumerate((c, n) for c in ("cron", "timezone") for n in attacks.TEMPLATES):
        planted = f"rhythm-{number}"
        service.schedule(planted, "0 * * * *", Task(good, ("replaced",)), queue="jobs")
        write(service, f"UPDATE {{periodic}} SET {column} = :text WHERE name = :name", text=name, name=planted)
    with travel(3601):
        tick(service)
        Worker(service, ["jobs"]).drain()
    assert fine.name == "fine"
    assert "fine" in effects
    assert {letter.error for letter in queue.dead_items()} != set()
    assert service.schedules()


def test_given_registrations_written_by_others_when_served_then_the_others_are_served(
    service: QueueService, make_service: Callable[..., QueueService]
) -> None:
    insert = "INSERT INTO {queue} (name, type, status, options, create_time) VALUES (:name, :type, 'active', :text, 0)"
    served = {"agent": "server", "error": "dead"}
    planted = [
        ("type", "os:system", json.dumps(served)),
        ("x' OR 1=1 --", "Sql", json.dumps(served)),
        ("{item}", "SqlParallel", json.dumps(served)),
        ("$name", "SqlParallel", json.dumps(served)),
        *((f"payload-{n}", "Sql", json.dumps({**served, "payload": name})) for n, name in enumerate(ATTRIBUTES)),
        *((f"options-{number}", "Sql", text) for number, text in enumerate(attacks.texts().values())),
    ]  # fmt: skip
    for name, kind, text in planted:
        write(service, insert, name=name, type=kind, text=text)
    queue = service.create("SqlParallel", "jobs", agent="server", error="dead")
    queue.enqueue(good, "served")
    other = make_service()

    Worker(other).drain()

    assert effects == ["served"]
    for name, _type, _text in planted:
        with suppress(TaskQueueError):
            other.load(name)
    with pytest.raises(SpecError):
        other.load("x' OR 1=1 --")
    assert service.database.statement(lambda tx: tx.row("SELECT COUNT(*) FROM {queue}")[0]) == len(planted) + 1


# --- outbox, channels ---


class Service:
    """What an outbox delivers to, with things in reach that it does not offer."""

    inner = Gadget

    def __init__(self) -> None:
        self.gadget: Any = object.__new__(Gadget)
        self.calls: list[Any] = []

    def work(self, *args: Any) -> None:
        self.calls.append(args)

    def _private(self, *args: Any) -> None:
        self.gadget()


def test_given_messages_written_by_others_when_flushed_then_they_reach_nothing_private(service: QueueService) -> None:
    outbox, thing = Outbox(service), Service()
    outbox.register("thing", thing)

    outbox.queued(thing).work("fine")
    queue = service.load("outbox")
    messages = [
        {"service": "thing", "event": name, "kind": kind, "args": ["x"]}
        for name in (*ATTRIBUTES, *attacks.names())
        for kind in ("call", "send", "emit", "callback")
    ]
    messages += [{"service": name, "event": "work", "kind": "call"} for name in (*ATTRIBUTES, *attacks.names())]
    texts = [json.dumps({"v": 1, "data": message}) for message in messages]
    planted = plant(service, queue, [*texts, *attacks.everything().values()])

    outbox.flush()

    assert thing.calls == [("fine",)]
    letters = {letter.id: letter.error for letter in queue.dead_items()}
    assert set(letters) == {*planted}
    assert all(letters.values())


def test_given_subscriptions_written_by_others_when_dispatched_then_only_registered_functions_are_called(
    service: QueueService,
) -> None:
    channels, called = Channels(service), []

    @channels.callback("fine")
    def fine(subscription: Subscription) -> None:
        called.append(subscription.callback)

    channels.subscribe("orders", consumer="shop", callback="fine")
    names = [*(name for name in attacks.names() if len(name) <= 128 and name.isascii()), *ATTRIBUTES]
    for number, name in enumerate(names):
        write(
            service,
            "INSERT INTO {subscription} (channel, consumer, producer, callback, create_time) "
            "VALUES ('orders', :consumer, '', :name, 0)",
            consumer=f"c{number}", name=name,
        )  # fmt: skip
    channels.publish("orders", {"py/object": "os.system"}, producer="web")

    assert channels.dispatch() == 1
    assert called == ["fine"]


# --- operations ---


@pytest.fixture
def operations(service: QueueService) -> Operations:
    """Operations that note what they are called with."""
    made = Operations(service)

    @made.operation("note", queueable=True)
    def note(ctx: OperationContext, data: Any) -> Any:
        effects.append(data)
        return data

    return made


def test_given_calls_written_by_others_when_drained_then_no_code_of_theirs_is_executed(
    service: QueueService, operations: Operations
) -> None:
    texts = attacks.everything()
    for column in ("request", "name", "data"):
        for text in some(service, texts.values() if column != "name" else [*attacks.names(), *ATTRIBUTES]):
            call = operations.defer("note", "planted")
            if column == "data":
                write(service, "UPDATE {item} SET data = :text WHERE uid = :id", text=text, id=call.id)
            elif len(text) <= 128 or column == "request":
                write(service, f"UPDATE {{operation}} SET {column} = :text WHERE id = :id", text=text, id=call.id)
            else:
                operations.cancel(call.id)
    fine = operations.defer("note", "fine")

    operations.drain()

    assert effects == ["fine"]
    assert operations.get(fine.id).state == "succeeded"
    assert {letter.error for letter in service.load("operations").dead_items() if "\n" in letter.error} == set()


def test_given_results_and_errors_of_calls_written_by_others_when_read_then_they_are_data(
    service: QueueService, operations: Operations
) -> None:
    call = operations.defer("note", "fine")
    operations.drain()
    for text in [*attacks.everything().values(), *map(json.dumps, attacks.TEMPLATES)]:
        write(service, "UPDATE {operation} SET result = :text, state = 'succeeded', error = NULL", text=text)
        with suppress(TaskQueueError):
            assert not callable(operations.result(call.id))
        write(service, "UPDATE {operation} SET result = NULL, state = 'failed', error = :text", text=text)
        with suppress(TaskQueueError):
            found = operations.get(call.id)
            assert f"{found} {found.error} {found.facts()}"
        assert attacks.marks() == []


@pytest.mark.parametrize(
    "planted", ["') OR (1=1", "x') OR 1=1 OR id IN ('", "'; DROP TABLE t; --", "\\", "%s", ":id", "$ids"]
)
def test_given_an_id_that_is_sql_when_calls_are_pruned_then_it_is_a_value(
    service: QueueService, operations: Operations, planted: str
) -> None:
    """What is read from one table is written into a statement on another: that, too, is data."""
    young, old = operations.defer("note", "young"), operations.defer("note", "old")
    operations.drain()
    write(service, "UPDATE {operation} SET id = :planted, expire_time = 1 WHERE id = :id", planted=planted, id=old.id)

    pruned = service.prune(timedelta(days=1))
    write(service, "UPDATE {operation} SET end_time = 1, lasting = 0, is_emptied = 1 WHERE id = :id", id=planted)
    service.prune(0)

    assert pruned.results == 1
    assert operations.result(young.id) == "young"
    assert service.database.statement(lambda tx: tx.row("SELECT COUNT(*) FROM {operation}")[0]) == 1


def test_given_signs_of_life_and_reports_written_by_others_when_shown_then_they_are_texts(
    service: QueueService,
) -> None:
    queue = service.create("Sql", "jobs")
    for number, text in enumerate([*attacks.texts().values(), *attacks.TEMPLATES]):
        write(
            service,
            "INSERT INTO {holder} (token, label, start_time, beat_time, beat_period, worker) "
            "VALUES (:token, 'x', {now}, {now}, 1000, :text)",
            token=f"planted{number}", text=text,
        )  # fmt: skip
        write(
            service,
            "INSERT INTO {activity} (item_id, queue_name, fence, start_time, message) "
            "VALUES (:id, 'jobs', 1, 0, :text)",
            id=number + 1, text=text,
        )  # fmt: skip
        write(
            service,
            "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, error, data, end_time) "
            "VALUES ('jobs', :id, 'delete', 1, :text, :text, {now})",
            id=number + 1, text=text,
        )  # fmt: skip
    with suppress(TaskQueueError):
        assert all(f"{info!r}" for info in roster.workers(service))
    assert all(f"{ending!r}" for ending in queue.history_of(1))
    assert Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()
