"""Where texts and values of others get into the store, each as a function that puts one there and reads it back.

It answers with what came back; whatever it raises is how the value was refused. Nothing stays behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from taskqueue import ErrorMode, QueueItem, QueueService, Runner, Task
from taskqueue.channels import Channels
from taskqueue.cli import main
from taskqueue.errors import TaskFailed
from taskqueue.operations import OperationContext, Operations
from taskqueue.outbox import Outbox
from taskqueue.queues.batch import BatchQueue
from tests.security import allowed


class Mails:
    """What the outbox of these tests delivers to."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def work(self, value: Any) -> None:
        self.got.append(value)


class Store:
    """One database, with everything that takes values from outside."""

    def __init__(self, service: QueueService) -> None:
        self.service = service
        self.queue: BatchQueue = service.create("SqlParallel", "jobs", error="dead", keep_result=3600)
        self.mails = Mails()
        self.outbox = Outbox(service)
        self.outbox.register("mails", self.mails)
        self.operations = Operations(service)
        self.channels = Channels(service)

        @self.operations.operation("echo", queueable=True, idempotent=True)
        def echo(ctx: OperationContext, data: Any) -> Any:
            return data

    def rows(self) -> int:
        """How many rows stand in the tables that take values."""
        tables = ("item", "dead", "operation", "periodic", "batch", "subscription")
        count = "SELECT " + " + ".join(f"(SELECT COUNT(*) FROM {{{table}}})" for table in tables)
        return int(self.service.database.statement(lambda tx: tx.row(count)[0], write=False))

    # --- tasks ---

    def argument(self, value: Any) -> Any:
        return self._one(Task(allowed.good, (value,))).data.args[0]

    def keyword(self, value: Any) -> Any:
        return self._one(Task(allowed.good, kwargs={"value": value})).data.kwargs["value"]

    def data(self, value: Any) -> Any:
        return self._one({"value": value}).data["value"]

    def key(self, value: Any) -> Any:
        [(key, _)] = self._one({value: 1}).data.items()
        return key

    def title(self, value: Any) -> Any:
        return self._one(Task(allowed.good, title=value)).data.title

    def run_as(self, value: Any) -> Any:
        return self._one(Task(allowed.good, run_as={"user": value})).data.run_as["user"]

    def dedup_key(self, value: Any) -> Any:
        item = self.queue.create_item("x", dedup_key=value)
        read = "SELECT dedup_key FROM {item} WHERE id = :id"
        found = self.service.database.statement(lambda tx: tx.row(read, id=item.id)[0], write=False)
        self.queue.delete_item(self.queue.claim_item())  # type: ignore[arg-type]
        return found

    def order_key(self, value: Any) -> Any:
        return self._one("x", order_key=value).order_key

    def _one(self, data: Any, **options: Any) -> Any:
        item = self.queue.create_item(data, **options)
        found = self.queue.fetch_item(item.id)
        self.queue.delete_item(self.queue.claim_item())  # type: ignore[arg-type]
        assert found is not None
        return found

    def many(self, value: Any) -> Any:
        self.queue.create_items(["before", value, "after"])
        found = [item.data for item in self.queue.items()]
        while (item := self.queue.claim_item()) is not None:
            self.queue.delete_item(item)
        return found[1]

    def queue_name(self, value: Any) -> Any:
        self.service.create("Sql", value)
        found = [queue.name for queue in self.service.queues() if queue.name not in ("jobs", "outbox", "operations")]
        self.service.delete(value)
        return found

    def result(self, value: Any) -> Any:
        item = self._ran(allowed.answer, value)
        self._refuse_dead()
        found = self.queue.result_of(item.id)
        return found.value if found is not None else None  # None is not kept

    def error(self, value: Any) -> Any:
        self._ran(allowed.fail_with, value)
        (letter,) = self.queue.dead_items()
        self.queue.delete_dead_items([letter.id])
        return letter.error

    def report(self, value: Any) -> Any:
        item = self._ran(allowed.report, value)
        self._refuse_dead()
        return self.queue.outcome_of(item.id)

    def _ran(self, task: Callable[[Any], Any], value: Any) -> QueueItem:
        allowed.answers[:] = [value]
        item = self.queue.enqueue(task)
        Runner(self.queue, error_mode=ErrorMode.CONTINUE).run_all()
        return item

    def _refuse_dead(self) -> None:
        for letter in self.queue.dead_items():
            self.queue.delete_dead_items([letter.id])
            raise TaskFailed(letter.error)

    def run_title(self, value: Any) -> Any:
        runner = Runner(self.queue, title=value)
        runner.run_all()
        return runner.definition.title

    def schedule_name(self, value: Any) -> Any:
        self.service.schedule(value, "0 * * * *", Task(allowed.good), queue="jobs")
        found = [schedule.name for schedule in self.service.schedules()]
        self.service.unschedule(value)
        return found

    # --- the command line ---

    def command_argument(self, value: Any) -> Any:
        return self._added(json.dumps(value)).data.args[0]

    def command_json(self, text: Any) -> Any:
        found, meant = self._added("--", text).data.args[0], json.loads(text)
        return text if repr(found) == repr(meant) else found

    def command_title(self, value: Any) -> Any:
        return self._added("1", "--title", value).data.title

    def command_key(self, value: Any) -> Any:
        return self._added("1", "--dedup-key", value) and "stored"

    def _added(self, *words: str) -> Any:
        url = self.service.database.url.render_as_string(hide_password=False)
        done = CliRunner().invoke(main, ["--database", url, "add", "jobs", f"{allowed.__name__}:good", *words])
        if done.exit_code:
            assert done.stdout == "" and isinstance(done.exception, SystemExit), done.output
            raise TaskFailed(done.stderr.strip())
        (item,) = self.queue.items()
        self.queue.delete_item(self.queue.claim_item())  # type: ignore[arg-type]
        return item

    # --- the outbox ---

    def message(self, value: Any) -> Any:
        self.outbox.queued(self.mails).work(value)
        self.outbox.flush()
        return self.mails.got.pop()

    def header(self, value: Any) -> Any:
        return self._sent(headers={"X-Note": value})

    def header_name(self, value: Any) -> Any:
        return self._sent(headers={value: "x"})

    def message_key(self, value: Any) -> Any:
        return self._sent(key=value)

    def _sent(self, **options: Any) -> Any:
        self.outbox.queued(self.mails, **options).work("x")
        (item,) = self.service.load("outbox").items()
        found = item.data
        self.outbox.flush()
        self.mails.got.clear()
        return found.get("headers"), item.order_key

    # --- operations ---

    def input(self, value: Any) -> Any:
        return self._called(value)

    def client_key(self, value: Any) -> Any:
        return self._called("x", key=value)

    def _called(self, data: Any, **options: Any) -> Any:
        call = self.operations.defer("echo", data, **options)
        self.operations.drain()
        found = self.operations.get(call.id)
        result = self.operations.result(call.id) if found.state == "succeeded" else found.error
        self.operations.forget(call.id)
        return result

    # --- channels ---

    def channel_data(self, value: Any) -> Any:
        self.channels.send("orders", value, producer="shop", consumer="billing")
        message = self.channels.get("orders", consumer="billing")
        assert message is not None
        return message.data

    def producer(self, value: Any) -> Any:
        self.channels.send("orders", "x", producer=value, consumer="billing")
        message = self.channels.get("orders", consumer="billing")
        assert message is not None
        return message.producer

    def channel(self, value: Any) -> Any:
        self.channels.send(value, "x", producer="shop", consumer="billing")
        message = self.channels.get(value, consumer="billing")
        assert message is not None
        return message.channel

    def channel_user(self, value: Any) -> Any:
        self.channels.send("orders", "x", producer="shop", consumer="billing", user=value)
        message = self.channels.get("orders", consumer="billing", user=value)
        assert message is not None
        return message.user


#: Where any value may stand, and where texts stand; by the names of the methods.
OF_VALUES = (
    "argument",
    "keyword",
    "data",
    "many",
    "result",
    "message",
    "header",
    "input",
    "channel_data",
    "run_as",
)
OF_TEXTS = (
    "key", "title", "dedup_key", "order_key", "queue_name", "error", "report", "run_title", "schedule_name",
    "header_name", "message_key", "client_key", "producer", "channel", "channel_user",
    "command_argument", "command_title", "command_key",
)  # fmt: skip
