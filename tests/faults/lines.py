"""A queue seen over two lines: one that goes through a proxy which misbehaves, and a straight one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskqueue import QueueService
from taskqueue.queues.batch import BatchQueue
from tests.faults.child import make_service
from tests.faults.proxy import DatabaseProxy, Swallow
from tests.servers import Server

NAME = "lines"


class Lines:
    """Both lines to one database.

    Arguments:
        url: of the database.
        query: more options of the URL by which the proxy is reached.
    """

    def __init__(self, server: Server, url: str, **query: str) -> None:
        self.proxy = DatabaseProxy(server.name, server.port)
        self.url = self.proxy.through(url, **query)
        self.bad: QueueService = make_service(self.url)
        self.good: QueueService = make_service(url)

    def close(self) -> None:
        """Leave no connection behind."""
        self.proxy.close()
        self.bad.close()
        self.good.close()

    def create(self, type: str, **options: Any) -> BatchQueue:
        """A queue, empty, over the bad line."""
        self.good.create(type, NAME, reset=True, **options)
        return self.bad.create(type, NAME, **options)

    @property
    def seen(self) -> BatchQueue:
        """The queue as others see it."""
        return self.good.load(NAME)

    @contextmanager
    def losing(self) -> Iterator[Swallow]:
        """Inside, the answer to the first statement that makes something durable gets lost."""
        with self.proxy.swallow() as lost:
            yield lost
        assert len(lost.hits) == 1, "no statement came by that makes something durable"
