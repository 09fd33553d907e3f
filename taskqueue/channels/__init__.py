"""Channels: messages from producers to consumers, with subscriptions, expiry and times of delivery."""

from .channels import INVALID, Channels, Standing
from .message import Message
from .subscriptions import Subscription
from .window import Window

__all__ = ["INVALID", "Channels", "Message", "Standing", "Subscription", "Window"]
