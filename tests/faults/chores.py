"""Operations that write a row in the transaction of their call; where they are told to, they wait at the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taskqueue import QueueService
from taskqueue.operations import Call, OperationContext, OperationFailed, Operations
from tests.faults.history import History
from tests.faults.parcels import write
from tests.faults.tasks import Gate

#: A direct call of a child process has this key.
KEY = "the key of a client"


def make_chores(service: QueueService, folder: Path, *, told: bool = False) -> Operations:
    """The operations as all processes of a test have them; "told": with somebody who is told of all ends."""
    ops, history = Operations(service), History(folder)

    def chore(ctx: OperationContext, data: dict[str, Any]) -> str:
        """Write a row; wait "before", or "after" it in the open transaction; "fail" then."""
        number, holds = data["number"], data.get("holds", "")
        history.write("start", number=number, attempt=ctx.attempt)
        if holds == "before":
            Gate.wait(str(folder))
        write(ctx.session, number)
        history.write("inserted", number=number)
        if holds in ("after", "fail"):
            Gate.wait(str(folder))
        if holds == "fail":
            raise OperationFailed("no")
        return f"done {number}"

    for name, options in {
        "chore": {}, "stubborn": {"retry": 1}, "careful": {"on_lost": "dead"},
    }.items():  # fmt: skip
        ops.operation(name, queueable=True, idempotent=True, **options)(chore)  # type: ignore[arg-type]
    if told:

        @ops.finished
        def finished(call: Call) -> None:
            history.write("told", number=0, id=call.id, state=call.state)
            if len(history.lines("told")) == 1:
                Gate.wait(str(folder))

    return ops
