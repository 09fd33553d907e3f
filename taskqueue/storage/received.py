"""The statements on the keys of messages that an inbox has received."""

from __future__ import annotations

from .transaction import Transaction


def add(tx: Transaction, queue_name: str, key: str) -> bool:
    """Remember a key; False when it is known. Whoever adds it in another transaction is waited for."""
    return (
        tx.change(
            "{insert} {received} (queue_name, message_key, receive_time) VALUES (:queue, :key, {now}) {on_duplicate}",
            queue=queue_name,
            key=key,
        )
        > 0
    )


def clear(tx: Transaction, queue_name: str) -> None:
    """Forget what came into a queue."""
    tx.change("DELETE FROM {received} WHERE queue_name = :queue", queue=queue_name)
