"""Processes queues for ever, in the background."""

from .worker import Worker, WorkerReport

__all__ = ["Worker", "WorkerReport"]
