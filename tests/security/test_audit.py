"""Whatever is refused for its signature leaves a line in the log that says of which queue, and what it was.

That it is refused, and nothing executed, others show: the rows S9 of the README say which.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import ErrorMode, QueueService, Runner, Task, periodic
from taskqueue.operations import OperationContext, Operations
from taskqueue.outbox import Outbox
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from tests.security import allowed
from tests.security.places import Mails

MakeService = Callable[..., QueueService]
KEY = "a key of the tests, no secret"
NEXT = "the next key of the tests, no secret"
#: What somebody does to the second of two items who has no key.
WAYS = {
    "altered": "UPDATE {item} SET data = REPLACE(data, 'mine', 'evil') WHERE id = :mine",
    "moved from another queue": "UPDATE {item} SET queue_name = 'jobs' WHERE id = :theirs",
    "with the id of another": "UPDATE {item} SET uid = 'x' WHERE id = :mine",
}


@pytest.fixture
def signing(make_service: MakeService) -> QueueService:
    """A service that signs what it stores."""
    return make_service(secret_key=KEY)


def change(service: QueueService, statement: str, **values: Any) -> None:
    """Write what somebody else might, behind the back of the package."""
    assert service.database.transaction(lambda tx: tx.change(statement, **values)) >= 1


def refusals(caplog: pytest.LogCaptureFixture, *parts: str) -> list[str]:
    """The lines, of warnings and worse, that have all of these parts."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [line for line in lines if all(part in line for part in parts)]


def run_all(service: QueueService, name: str = "jobs") -> None:
    Runner(service.load(name), error_mode=ErrorMode.CONTINUE).run_all()


@pytest.mark.parametrize("way", WAYS)
def test_given_an_item_that_was_tampered_with_when_it_is_refused_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    mine = signing.create("Sql", "jobs", error="dead").create_item(Task(allowed.good, ("mine",)))
    theirs = signing.create("Sql", "elsewhere").create_item(Task(allowed.good, ("theirs",)))
    ids = {name: value for name, value in {"mine": mine.id, "theirs": theirs.id}.items() if f":{name}" in WAYS[way]}
    change(signing, WAYS[way], **ids)

    run_all(signing)

    (number,) = ids.values()
    assert len(refusals(caplog, f"[jobs #{number} ", "signature")) == 1


def test_given_two_items_whose_contents_were_swapped_when_they_are_refused_then_each_has_its_line(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    queue = signing.create("Sql", "jobs", error="dead")
    items = [queue.create_item(Task(allowed.good, (name,))) for name in ("one", "other")]
    read = "SELECT data FROM {item} WHERE id = :id"
    texts = [signing.database.transaction(lambda tx, one=item: tx.row(read, id=one.id)[0]) for item in items]
    for item, text in zip(items, reversed(texts), strict=True):
        change(signing, "UPDATE {item} SET data = :text WHERE id = :id", text=text, id=item.id)

    run_all(signing)

    assert [len(refusals(caplog, f"[jobs #{item.id} ", "belongs to another item")) for item in items] == [1, 1]


@pytest.mark.parametrize("theirs", [(), NEXT], ids=["unsigned", "of a key that is rotated away"])
def test_given_an_item_of_no_valid_key_when_it_is_refused_then_one_line_says_which(
    make_service: MakeService, signing: QueueService, caplog: pytest.LogCaptureFixture, theirs: Any
) -> None:
    item = make_service(secret_key=theirs).create("Sql", "jobs", error="dead").create_item(Task(allowed.good))

    run_all(signing)

    assert len(refusals(caplog, f"[jobs #{item.id} ", "signature")) == 1


def test_given_a_forged_callback_of_a_batch_when_it_is_refused_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    queue = signing.create("SqlParallel", "jobs", error="dead")
    queue.create_batch([Task(allowed.good)], Task(allowed.good, ("after",)))
    change(signing, "UPDATE {batch} SET data = REPLACE(data, 'after', 'evil')")

    run_all(signing)

    (letter,) = queue.dead_items()
    assert len(refusals(caplog, f"[jobs #{letter.id} ", "signature")) == 1


def test_given_a_forged_schedule_when_it_is_due_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    signing.create("Sql", "jobs")
    signing.schedule("hourly", "0 * * * *", Task(allowed.good, ("mine",)), queue="jobs")
    change(signing, "UPDATE {periodic} SET data = REPLACE(data, 'mine', 'evil'), next_time = 1")

    for _ in range(2):
        periodic.tick(signing)

    assert len(refusals(caplog, "schedule 'hourly' of queue 'jobs'", "signature")) == 1


def test_given_a_forged_run_when_it_is_looked_at_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    queue: Any = signing.create("Sql", "jobs")
    runs = Runs.of(queue)
    run = runs.create(queue, Definition("mine"))
    change(signing, "UPDATE {run} SET definition = REPLACE(definition, 'mine', 'evil')")

    for _ in range(3):  # as its page does each second
        assert runs.get(run.id).damage

    assert len(refusals(caplog, f"run '{run.id}' of queue 'jobs'", "signature")) == 1


def test_given_a_forged_message_of_the_outbox_when_it_is_refused_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, mails = Outbox(signing), Mails()
    outbox.register("mails", mails)
    outbox.queued(mails).work("mine")
    change(signing, "UPDATE {item} SET data = REPLACE(data, 'mine', 'evil')")

    outbox.flush()

    (letter,) = signing.load("outbox").dead_items()
    assert mails.got == []
    assert len(refusals(caplog, f"[outbox #{letter.id} ", "signature")) == 1


def test_given_a_forged_call_of_an_operation_when_it_is_refused_then_one_line_says_which(
    signing: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    operations = Operations(signing)

    @operations.operation("echo", queueable=True)
    def echo(ctx: OperationContext, data: Any) -> Any:
        raise AssertionError("never called")

    operations.defer("echo", "mine")
    change(signing, "UPDATE {operation} SET request = REPLACE(request, 'mine', 'evil')")

    operations.drain()

    (letter,) = signing.load("operations").dead_items()
    assert len(refusals(caplog, f"[operations #{letter.id} ", "signature")) == 1
