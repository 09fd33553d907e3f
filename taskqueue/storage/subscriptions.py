"""The statements on the subscriptions of channels."""

from __future__ import annotations

from typing import NamedTuple

from .transaction import Transaction


class SubscriptionRow(NamedTuple):
    """A subscription as stored; "" as ``producer`` means any, as ``callback`` none."""

    channel: str
    consumer: str
    producer: str
    callback: str


_COLUMNS = ", ".join(SubscriptionRow._fields)
_IS_IT = " AND ".join(f"{name} = :{name}" for name in SubscriptionRow._fields)


def add(tx: Transaction, row: SubscriptionRow) -> bool:
    """Store a subscription; False when it is there."""
    return (
        tx.change(
            f"{{insert}} {{subscription}} ({_COLUMNS}, create_time) "
            "VALUES (:channel, :consumer, :producer, :callback, {now}) {on_duplicate}",
            **row._asdict(),
        )
        > 0
    )


def remove(tx: Transaction, row: SubscriptionRow) -> bool:
    """Whether there was such a subscription to remove."""
    return tx.change(f"DELETE FROM {{subscription}} WHERE {_IS_IT}", **row._asdict()) > 0


def every(tx: Transaction) -> list[SubscriptionRow]:
    """All subscriptions, in the order of their fields."""
    return [SubscriptionRow(*row) for row in tx.rows(f"SELECT {_COLUMNS} FROM {{subscription}} ORDER BY {_COLUMNS}")]


def consumers(tx: Transaction, channel: str, producer: str) -> list[str]:
    """Who wants a copy of what this producer sends to a channel: each once, however many subscriptions it has."""
    rows = tx.rows(
        "SELECT consumer FROM {subscription} WHERE channel = :channel AND producer IN ('', :producer)",
        channel=channel,
        producer=producer,
    )
    return sorted({row[0] for row in rows})
