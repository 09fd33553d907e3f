"""One of everything that the dashboard can show, each with the same words in every text that somebody else chooses."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from taskqueue import Task
from taskqueue.dashboard.acts import Acts
from taskqueue.operations import OperationFailed, Operations
from taskqueue.outbox import Outbox, handles, queued
from taskqueue.queues.sql_base import SqlBase
from taskqueue.storage import audit, presence
from tests.web.dashboard.board import Board, task


@dataclass(frozen=True)
class Stock:
    """What there is, and the pages that show it."""

    board: Board
    queue: SqlBase
    #: Ids of items, by their state.
    items: dict[str, int]
    #: The path of a run's page.
    run: str

    @property
    def item_pages(self) -> dict[str, str]:
        """The page of an item in each state."""
        return {f"item {state}": f"queues/{self.queue.name}/items/{item_id}" for state, item_id in self.items.items()}

    @property
    def pages(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Every page, by a name of its own: path and query."""
        of_queue = {"queue": self.queue.name}
        confirm = {"what": "dead", "verb": "delete", "text": "a", **of_queue}
        named: dict[str, tuple[str, dict[str, str]]] = {
            "overview": ("", {}), "queue": (f"queues/{self.queue.name}", {}), "items": ("items", of_queue),
            "dead": ("dead", of_queue), "history": ("history", of_queue), "charts": ("charts", {}),
            "workers": ("workers", {}), "runs": ("runs", {}), "schedules": ("schedules", {}), "outbox": ("outbox", {}),
            "operations": ("operations", {}), "audit": ("audit", of_queue), "confirm": ("confirm", confirm),
            "confirm nothing": ("confirm", {**confirm, "text": "nothing of the kind"}),
            "items empty": ("items", {**of_queue, "text": "nothing of the kind"}),
            "dead empty": ("dead", {**of_queue, "text": "nothing of the kind"}),
            "history empty": ("history", {**of_queue, "state": "revived"}),
        }  # fmt: skip
        return named | {name: (path, {}) for name, path in self.item_pages.items()}


def stocked(board: Board, text: str) -> Stock:
    """Make it all; somewhere in each text stands ``text``."""
    queue = board.queue(retry_limit=3)
    key = f"key {text}".replace("\u202e", "")[:191]  # which has to be printable
    items = {"waiting": queue.create_item(task(title=f"One {text}", gate=text), order_key=key).id}
    items["scheduled"] = queue.create_item({"data": text}, delay=3600).id
    trace = f"Traceback (most recent call last):\n  {text}"
    for number in range(2):
        (items["retrying"],) = board.failed(queue, task(number=number, title=f"Three {text}"), error=text, trace=trace)
    (items["dead"],) = board.letters(queue, task(title=f"Four {text}", gate=text), error=f"ValueError: {text}",
                                     trace=trace)  # fmt: skip
    (items["gone"],) = board.removed(queue, task(title=f"Five {text}"), error=text)
    # In hand of a worker, which reports.
    running = queue.create_item(task("hold", 9, f"Six {text}"), weight=-1)
    other = queue.create_item(task("hold", 10, f"Seven {text}"), weight=-2)
    items |= {"running": running.id, "silent": other.id}
    mine = queue.claim_item()
    assert mine is not None and mine.id == other.id
    hold(board, queue, text)
    # What was done by hand.
    Acts(board.service, f"user:{text}").note("delete", queue.name, number=3, detail=f"Text: {text}")
    Acts(board.service, f"user:{text}").on_items(queue, "retry", [(items["waiting"], 0)])
    board.service.database.statement(lambda tx: note(board, tx, queue.name, items["waiting"], text))
    board.service.schedule("nightly", "0 3 * * *", Task(task().callback, (1,), f"Nightly {text}"), queue=queue.name)
    make_messages(board, text)
    make_calls(board, text)
    run = board.site.make({"kind": "fail", "message": text, "title": f"Task {text}"}, title=f"Import {text}")
    board.site.open(run).expect_status("blocked")
    board.site.admin.close_tabs()
    board.look_anew()
    return Stock(board, queue, items, run.url)


def note(board: Board, tx: Any, queue: str, item_id: int, text: str) -> None:
    audit.add(tx, actor=f"user:{text}", action="retry", queue_name=queue, item_ids=[item_id], detail=f"Text: {text}")


def hold(board: Board, queue: SqlBase, text: str) -> None:
    """Let a worker hold an item for an hour, as it seems, whoever held one before be silent; labels have that text."""
    facts = json.dumps({"host": f"host {text}", "pid": 7, "queues": [queue.name], "threads": 1, "state": "serving"})
    board.service.database.statement(
        lambda tx: presence.beat_of_worker(tx, "0123456789abcdef", f"host {text}", 3_600_000, facts)
    )
    worker = board.work(queue, threads=1)
    pid = board.journal(queue).wait_for("start", number=9)["pid"]
    worker.kill()
    if pid != worker.pid:
        os.kill(pid, signal.SIGKILL)
    for change in (
        "UPDATE {holder} SET beat_period = 3600000 WHERE worker IS NOT NULL",
        "UPDATE {item} SET release_time = release_time + 3600000 WHERE state = 1",
    ):
        board.service.database.statement(lambda tx, change=change: tx.change(change))
    # As a run stores it whose tasks report.
    for item in queue.items():
        activity = {"item": item.id, "queue": queue.name, "fence": item.fence, "age": 2000, "done": 1, "total": 2,
                    "message": f"row {text}", "silence": 500}  # fmt: skip
        board.service.database.statement(lambda tx, activity=activity: presence.report(tx, activity))
    board.service.database.statement(
        lambda tx: tx.change("UPDATE {holder} SET label = :label WHERE worker IS NULL", label=f"host {text}"[:190])
    )


class Warehouse:
    """Receives messages."""

    @handles
    def reserve(self, ctx: Any, *, thing: str) -> None:
        """Never called."""


def make_messages(board: Board, text: str) -> None:
    outbox = Outbox(board.service)
    warehouse = outbox.register("warehouse", Warehouse())
    with Session(board.service.engine) as session, session.begin():
        for number in range(2):
            queued(warehouse, session).reserve(thing=f"{text} {number}")


def make_calls(board: Board, text: str) -> None:
    operations = Operations(board.service)

    @operations.operation("price", queueable=True)
    def price(_ctx: Any, data: Any) -> None:
        raise OperationFailed(f"no {text}", code="sold_out")

    operations.defer("price", {"thing": text}, user=text[:60])
    operations.drain()
    operations.defer("price", {"thing": text}, user=text[:60], delay="1h")
