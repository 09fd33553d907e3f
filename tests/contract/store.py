"""What somebody else might do to the store, behind the back of the package."""

from __future__ import annotations

import json
from typing import Any

from taskqueue import BatchQueue, QueueItem
from taskqueue.queues.memory import MemoryQueue


def overwrite(queue: BatchQueue, item: QueueItem, text: str) -> None:
    """Replace the stored text of an item."""
    if isinstance(queue, MemoryQueue):
        queue._records[item.id].text = text
        return
    statement = "UPDATE {item} SET data = :data WHERE id = :id"
    queue.database.transaction(lambda tx: tx.change(statement, data=text, id=item.id))  # type: ignore[attr-defined]


def stored(queue: BatchQueue, item: QueueItem) -> str:
    """The stored text of an item."""
    if isinstance(queue, MemoryQueue):
        return queue._records[item.id].text
    read = "SELECT data FROM {item} WHERE id = :id"
    return str(queue.database.transaction(lambda tx: tx.row(read, id=item.id))[0])  # type: ignore[attr-defined]


def envelope(callback: Any, **more: Any) -> str:
    """The stored text of a task that nobody has signed."""
    return json.dumps({"v": 1, "callback": callback, "args": ["x"], **more})
