"""An application with operations, as ``--app`` names it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from taskqueue import QueueService
from taskqueue.operations import Call, File, Limits, OperationContext, OperationFailed, Operations

service = QueueService()
operations = Operations(service)
#: A service without operations.
bare = QueueService()


def declare(ops: Operations) -> Operations:
    """The operations of the tests."""

    @ops.operation("double", queueable=True, idempotent=True, roles={"sales", "office"}, limits=Limits(rate=5))
    def double(ctx: OperationContext, data: int) -> int:
        """Twice the number.

        That is all.
        """
        return data * 2

    @ops.operation("print", queueable=True, on_lost="dead", result_ttl="90m")
    def print_(ctx: OperationContext, data: Any) -> File:
        print("printed by an operation")
        return File(b"%PDF \xff", "application/pdf", "a.pdf")

    @ops.operation("refuse", queueable=True)
    def refuse(ctx: OperationContext, data: Any) -> None:
        raise OperationFailed("no \x1b[31mway", code="refused", details={"password": "sesame"})

    @ops.operation("fail", queueable=True, retry=2)
    def fail(ctx: OperationContext, data: Any) -> None:
        raise ValueError("secret of the program")

    @ops.operation("break", queueable=True, retry=1)
    def break_(ctx: OperationContext, data: Any) -> None:
        raise ValueError("boom")

    @ops.operation("now")
    def now(ctx: OperationContext, data: Any) -> None:
        """Never deferred."""

    @ops.operation("wait", queueable=True)
    def wait(ctx: OperationContext, data: dict[str, str]) -> str:
        """Says that it has started; listens to a request to stop, or to nobody until the gate is opened."""
        ctx.report(1, 4, "waiting")
        Path(data["started"]).write_text("started")
        if "gate" in data:
            Path(data["gate"]).read_text()
        while not ctx.should_stop:
            time.sleep(0.01)
        return "stopped"

    return ops


declare(operations)
telling = Operations(QueueService())
declare(telling)


@telling.finished
def tell(call: Call) -> None:
    """Nobody can be told."""
    raise ValueError("nobody listens")
