"""An application with channels, as ``--app`` names it."""

from __future__ import annotations

from pathlib import Path

from taskqueue import QueueService
from taskqueue.channels import Channels, Subscription

service = QueueService("sqlite:///taskqueue.db")
channels = Channels(service, invalid="cbINVALID")


@channels.callback("bill")
def bill(subscription: Subscription) -> None:
    """Write down what came."""
    while (message := channels.get(subscription.channel, consumer=subscription.consumer)) is not None:
        with Path("bills").open("a", encoding="utf-8") as file:
            file.write(f"{message.data}\n")
