"""The demonstration's contacts on a database: its operations, called now or deferred, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from demo_ext.contacts import make_operations, make_tables
from demo_ext.contacts.schema import TABLES, crm_module, crm_relation, metadata
from taskqueue import QueueService, travel
from taskqueue.operations import Call, Operations

DIRECT, DEFERRED = "direct", "deferred"


@dataclass
class Crm:
    """The operations, and the way in which :meth:`do` calls them."""

    service: QueueService
    operations: Operations
    way: str = DIRECT

    @classmethod
    def on(cls, url: str, way: str = DIRECT) -> Crm:
        """On an empty database."""
        service = QueueService(url)
        make_tables(service.engine)
        made = cls(service, make_operations(service), way)
        made.clear()
        return made

    def do(self, name: str, user: str = "maria", **data: Any) -> Any:
        """Call an operation, now or by a worker; its result."""
        if self.way == DIRECT:
            return self.operations.call(name, data, user=user)
        call = self.defer(name, user, **data)
        assert self.drain() == 1
        return self.operations.result(call.id)

    def defer(self, name: str, user: str = "maria", **data: Any) -> Call:
        """Record a call."""
        return self.operations.defer(name, data, user=user)

    def drain(self, ahead: float = 0.0) -> int:
        """Execute what is due, or will be after so many seconds; the number of attempts."""
        with travel(ahead):
            return self.operations.drain()

    def create(self, module: str, **element: Any) -> Any:
        """The id of a new record."""
        return self.operations.call("create", {"elementType": module, "element": element}, user="maria")["id"]

    def read(self, record: str) -> dict[str, Any]:
        """A record as it stands now."""
        found: dict[str, Any] = self.operations.call("retrieve", {"id": record}, user="maria")
        return found

    def counts(self) -> dict[str, int]:
        """How many records there are of each module."""
        with self.service.engine.connect() as connection:
            found = {name: connection.scalar(select(func.count()).select_from(table)) for name, table in TABLES.items()}
        return {name: number for name, number in found.items() if number}

    def relations(self) -> list[tuple[int, int, int]]:
        """Which document belongs to which record of which module."""
        with self.service.engine.connect() as connection:
            return sorted(tuple(row) for row in connection.execute(select(crm_relation)))

    def clear(self) -> None:
        """Leave nothing behind."""
        for queue in self.service.queues():
            queue.delete()
        self.service.database.transaction(lambda tx: tx.change("DELETE FROM {operation}"))
        with self.service.engine.begin() as connection:
            connection.execute(update(TABLES["Accounts"]).values(account_id=None))
            for table in reversed(metadata.sorted_tables):
                if table is not crm_module:
                    connection.execute(delete(table))
            connection.execute(update(crm_module).values(given=0))

    def close(self) -> None:
        """Close the connections."""
        self.clear()
        self.service.close()


LEAD = {"lastname": "Müller", "firstname": "Zoë", "company": "Käse & Söhne", "email": "zoë@example.org"}
