"""Items that were written past the API: whatever stands in them, no code of the writer's choice is executed."""

from __future__ import annotations

import importlib
import pickle
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, ErrorMode, PayloadError, QueueService, Runner, Task, Worker
from taskqueue.storage.transaction import Transaction
from tests.cli.conftest import Shell
from tests.security import allowed, attacks
from tests.security.allowed import effects, good
from tests.web_api.app import Visitor, create_app, service_of

Run = Callable[[QueueService, BatchQueue, Path], None]


def naively(name: str, args: list[Any]) -> None:
    """What a queue does that imports whatever it is told, and walks along attributes."""
    module, _, rest = name.partition(":") if ":" in name else name.rpartition(".")
    found: Any = importlib.import_module(module)
    for part in rest.split("."):
        found = getattr(found, part)
    found(*args)


def test_given_a_queue_that_trusts_rows_then_the_attacks_come_through(marks: Path) -> None:
    """Else it would prove nothing that they do not."""
    came_through = []
    for name, args in attacks.names().items():
        with suppress(Exception):
            naively(name, args)
        if attacks.marks():
            came_through.append(name)
        for mark in marks.iterdir():
            mark.unlink()
    for name, text in attacks.pickles().items():
        with suppress(Exception):
            pickle.loads(text.encode("latin-1"))  # noqa: S301
        if attacks.marks():
            came_through.append(name)
        for mark in marks.iterdir():
            mark.unlink()
    assert len(came_through) >= 25
    assert {"os:system", "builtins:eval", f"{attacks.ALLOWED}:os.system", "pickle 0", "pickle 3"} <= {*came_through}


def write(service: QueueService, statement: str, **values: Any) -> int:
    """Write as somebody does who has the account of the database, and nothing else."""
    return service.database.transaction(lambda tx: tx.change(statement, **values))


def plant(service: QueueService, queue: BatchQueue, texts: list[str], table: str = "item") -> list[int]:
    """Write rows as plain SQL would; return their ids."""

    def insert(tx: Transaction) -> list[int]:
        return [insert_one(tx, number, text) for number, text in enumerate(texts)]

    def insert_one(tx: Transaction, number: int, text: str) -> int:
        values = {"queue": queue.name, "uid": uuid.uuid4().hex, "text": text}
        if table == "dead":
            tx.change(
                "INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, data, error, dead_time) "
                "VALUES (:id, :queue, :uid, 0, {now}, :text, 'planted', {now})",
                id=100_000 + number, **values,
            )  # fmt: skip
            return 100_000 + number
        tx.change(
            "INSERT INTO {item} (queue_name, uid, weight, submit_time, data) VALUES (:queue, :uid, 0, {now}, :text)",
            **values,
        )
        return int(tx.row("SELECT id FROM {item} WHERE uid = :uid", uid=values["uid"])[0])

    return service.database.transaction(insert)


def by_run_all(service: QueueService, queue: BatchQueue, folder: Path) -> None:
    Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()


def by_a_worker(service: QueueService, queue: BatchQueue, folder: Path) -> None:
    Worker(service, [queue.name]).drain()


def by_a_worker_in_groups(service: QueueService, queue: BatchQueue, folder: Path) -> None:
    Worker(service, [queue.name], grouped=True, threads=3).drain()


def by_the_page(service: QueueService, queue: BatchQueue, folder: Path) -> None:
    url = service.database.url.render_as_string(hide_password=False)
    app = create_app(url, TASKQUEUE_ALLOW=[allowed.__name__])
    ann = Visitor(app, "ann")
    run_id = ann.make(queue.name, error_mode="CONTINUE", title=attacks.TEMPLATES[3])
    for _ in range(200):
        answer = ann.post(run_id, "drive")
        assert answer.status_code == 200, answer.text
        if answer.get_json()["run"]["status"] == "completed":
            break
    for view in ("", "state", "log"):
        answer = ann.get(run_id, view)
        assert answer.status_code == 200
        assert "uid=" not in answer.text
    service_of(app).close()


def by_the_command_line(service: QueueService, queue: BatchQueue, folder: Path) -> None:
    shell = Shell(folder)
    url = service.database.url.render_as_string(hide_password=False)
    done = shell.run("--database", url, "work", queue.name, "--drain", "--allow", allowed.__name__)
    shell.close()
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr


WAYS: list[Run] = [by_run_all, by_a_worker, by_a_worker_in_groups, by_the_page, by_the_command_line]


@pytest.mark.parametrize("run", WAYS, ids=lambda run: run.__name__)
def test_given_items_written_by_others_when_run_then_no_code_of_theirs_is_executed_and_the_rest_goes_on(
    service: QueueService, run: Run, tmp_path: Path
) -> None:
    queue = service.create("Sql", "jobs", error="dead")
    first = queue.enqueue(good, "first")
    planted = plant(service, queue, [*attacks.everything().values()])
    last = queue.enqueue(good, "last")

    run(service, queue, tmp_path)

    assert attacks.marks() == []
    assert queue.number_of_items() == 0
    assert [queue.outcome_of(item.id) for item in (first, last)] == ["ok", "ok"]
    if run is not by_the_command_line:
        assert sorted(effects) == ["first", "last"]
    letters = queue.dead_items()
    assert [letter.id for letter in letters] == planted
    assert [letter.error for letter in letters if not _is_clear(letter.error)] == []


def _is_clear(error: str) -> bool:
    """One sentence that says what is wrong with the item, and not how some function choked on it."""
    told = ("may not run", "cannot be", "is not a name", "no class", "is a class", "not callable", "wrong types",
            "not an envelope", "plain data", "damaged", "a colon between", "is refused", "is an instance",
            "no attribute", "is a lambda", "bound to", "a functools.partial")  # fmt: skip
    return "\n" not in error and any(sentence in error for sentence in told)


def test_given_dead_letters_written_by_others_when_shown_and_revived_then_no_code_of_theirs_is_executed(
    service: QueueService,
) -> None:
    queue = service.create("SqlParallel", "jobs", error="dead")
    planted = plant(service, queue, [*attacks.everything().values()], "dead")
    for letter in queue.dead_items():
        assert f"{letter.title} {letter.error} {letter.traceback} {letter!r}"
        with suppress(PayloadError):
            assert f"{letter.data!r}"

    assert queue.revive_items(planted) == len(planted)
    Worker(service, ["jobs"]).drain()

    letters = queue.dead_items()
    assert [letter.id for letter in letters] == planted
    assert [letter.error for letter in letters if not _is_clear(letter.error)] == []


def test_given_batches_whose_callback_was_written_by_others_when_they_end_then_it_is_not_called(
    service: QueueService,
) -> None:
    queue = service.create("Sql", "jobs", error="dead")
    for text in attacks.everything().values():
        batch = queue.create_batch([Task(good, ("in a batch",))], Task(good, ("its end",)))
        write(service, "UPDATE {batch} SET data = :text WHERE id = :id", text=text, id=batch.id)

    Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert "its end" not in effects
    assert effects.count("in a batch") == len(attacks.everything())
    assert queue.number_of_items() == 0


@pytest.mark.parametrize("text", attacks.TEMPLATES, ids=range(len(attacks.TEMPLATES)))
def test_given_texts_that_look_like_templates_when_run_then_they_stay_texts(service: QueueService, text: str) -> None:
    queue = service.create("Sql", "jobs", error="dead", keep_result=3600)
    fine = queue.enqueue(good, text, title=text)
    bad = queue.enqueue(allowed.fail, text, title=text)

    Runner(queue, error_mode=ErrorMode.CONTINUE, title=text).run_all()

    assert effects == [text]
    assert queue.outcome_of(fine.id) == "ok"
    (letter,) = queue.dead_items()
    assert (letter.id, letter.title, letter.error) == (bad.id, text, f"ValueError: {text}")
