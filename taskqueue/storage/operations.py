"""The statements on operations that were called with a tracking id."""

from __future__ import annotations

from typing import Any, NamedTuple

from .schema import DELAYED, LEASED
from .transaction import Transaction

#: While an operation has not ended, its state is that of its item. One that has neither an item nor a dead letter was
#: taken from its queue by somebody: it is GONE, until that is written down.
GONE = "gone"
STATE = (
    "CASE WHEN o.end_time > 0 THEN o.state "
    "WHEN i.id IS NOT NULL THEN CASE "
    f"WHEN i.state = {LEASED} AND i.release_time > {{now}} THEN 'running' "
    "WHEN o.deadline > 0 AND o.deadline <= {now} THEN 'expired' "
    "WHEN i.failures > 0 OR i.interruptions > 0 THEN 'retrying' "
    f"WHEN i.state = {DELAYED} AND i.release_time > {{now}} THEN 'scheduled' ELSE 'queued' END "
    f"WHEN d.id IS NOT NULL THEN 'dead' ELSE '{GONE}' END"
)
#: What one that is GONE turns out to be once that is written down.
_GONE_IS = ("cancelled", "dead")
_OPEN = ("queued", "scheduled", "running", "retrying")
_COLUMNS = (
    f"o.id, o.name, o.owner, o.queue_name, o.item_id, o.client_key, o.fingerprint, o.is_direct, {STATE}, "
    "CASE WHEN o.end_time > 0 THEN o.attempts WHEN i.id IS NOT NULL THEN i.failures + i.interruptions "
    f"+ CASE WHEN i.state = {LEASED} THEN 1 ELSE 0 END ELSE COALESCE(d.failures, o.attempts) END, "
    "o.create_time, o.due_time, o.deadline, o.end_time, o.lasting, o.expire_time, o.error, d.dead_time, "
    "a.done, a.total, a.message, COALESCE(i.is_cancelled, 0), {now}"
)
_JOINED = (
    "LEFT JOIN {item} i ON i.id = o.item_id LEFT JOIN {dead} d ON d.id = o.item_id "
    "LEFT JOIN {activity} a ON a.item_id = i.id AND a.fence = i.fence"
)


class OperationRow(NamedTuple):
    """A call as stored; times are ms since 1970, 0 where there is none."""

    id: str
    name: str
    owner: str
    queue_name: str
    item_id: int
    client_key: str | None
    fingerprint: str
    is_direct: int
    state: str
    attempts: int
    create_time: int
    due_time: int
    deadline: int
    end_time: int
    lasting: int
    expire_time: int
    error: str | None
    dead_time: int | None
    done: float | None
    total: float | None
    message: str | None
    #: Whoever executes it was asked to stop.
    is_cancelled: int
    now: int

    @property
    def is_over(self) -> bool:
        """Whether the time is over for which its result is kept."""
        return self.end_time > 0 and self.expire_time <= self.now

    @property
    def is_unwritten(self) -> bool:
        """Whether it is seen to have ended, and does not say so itself: that must be written before it is shown, else
        somebody could still execute it."""
        return self.end_time == 0 and self.state in (GONE, "expired")


class KeyRow(NamedTuple):
    """The call that has a client's key, what it was for, and whether the time is over for which that is known.

    A result that is read once may go earlier; its key must not: a request that is sent again would be executed again.
    """

    id: str
    fingerprint: str
    is_over: bool


class RequestRow(NamedTuple):
    """What decides whether, and with what, a call is executed."""

    name: str
    request: str
    end_time: int
    #: Milliseconds until it may not be begun any more; None: it always may.
    left: int | None
    lasting: int


def add(tx: Transaction, *, delay: int, lasts: int, due: int | None = None, deadline: int | None = None,
        **values: Any) -> bool:  # fmt: skip
    """Store a call; False when the client's key stands already.

    Arguments:
        delay: milliseconds until it is due, unless the moment ``due`` is given.
        lasts: milliseconds after which it is not begun any more, unless the moment ``deadline`` is given; 0: never.
    """
    due_time = ":due" if due is not None else "{now} + :delay" if delay else "0"
    ends = ":deadline" if deadline is not None else "{now} + :lasts" if lasts else "0"
    return (
        tx.change(
            "{insert} {operation} (id, name, owner, queue_name, client_key, fingerprint, is_direct, create_time, "
            f"due_time, deadline, lasting, request) VALUES (:id, :name, :owner, :queue, :key, :fingerprint, :direct, "
            f"{{now}}, {due_time}, {ends}, :lasting, :request) {{on_duplicate}}",
            delay=delay, lasts=lasts, due=due, deadline=deadline, **values,
        )
        > 0
    )  # fmt: skip


def place(tx: Transaction, call_id: str, item_id: int) -> None:
    """Remember the item that stands for a call."""
    tx.change("UPDATE {operation} SET item_id = :item WHERE id = :id", id=call_id, item=item_id)


def deadline_before_due(tx: Transaction, call_id: str) -> int | None:
    """The deadline of a call that ends before it is due; None: it does not."""
    row = tx.row("SELECT deadline FROM {operation} WHERE id = :id AND deadline > 0 AND deadline < due_time", id=call_id)
    return int(row[0]) if row else None


def find(tx: Transaction, call_id: str) -> OperationRow | None:
    """A call, as it stands now."""
    row = tx.row(f"SELECT {_COLUMNS} FROM {{operation}} o {_JOINED} WHERE o.id = :id", id=call_id)
    return OperationRow(*row) if row else None


def with_key(tx: Transaction, owner: str, name: str, key: str, *, latest: bool = False) -> KeyRow | None:
    """The call that has a client's key.

    Arguments:
        latest: also where a transaction sees old rows. Only to be asked when it is known that there is one: a lock on
            what is not there lets two who then store it wait for each other.
    """
    row = tx.row(
        "SELECT id, fingerprint, CASE WHEN end_time > 0 AND end_time + lasting <= {now} THEN 1 ELSE 0 END "
        f"FROM {{operation}} WHERE owner = :owner AND name = :name AND client_key = :key {'{share}' if latest else ''}",
        owner=owner, name=name, key=key,
    )  # fmt: skip
    return KeyRow(row[0], row[1], bool(row[2])) if row else None


def free_key(tx: Transaction, call_id: str) -> None:
    """Let others use the client's key of a call whose time is over."""
    tx.change(
        "UPDATE {operation} SET client_key = NULL WHERE id = :id AND end_time > 0 AND expire_time <= {now}", id=call_id
    )


def page(
    tx: Transaction, limit: int, *, owner: str | None, name: str | None, state: str | None,
    after: tuple[int, str] | None,
) -> list[OperationRow]:  # fmt: skip
    """Calls, the newest first, behind the one made at that time with that id; those whose time is over are left out."""
    where, values, index = ["o.is_emptied = 0"], dict[str, Any](), "{time_index}"
    if state in _OPEN:  # they are few
        where.append("o.end_time = 0")
        index = "{open_index}"
    else:
        where.append("(o.end_time = 0 OR o.expire_time > {now})")
    if owner is not None:
        where.append("o.owner = :owner")
        values["owner"], index = owner, "{owner_index}"
    if name is not None:
        where.append("o.name = :name")
        values["name"] = name
    if state is not None:
        also = f", '{GONE}'" if state in _GONE_IS else ""
        where.append(f"{STATE} IN (:state{also})")
        values["state"] = state
    if after is not None:
        where.append("o.create_time <= :time AND (o.create_time < :time OR o.id < :id)")
        values["time"], values["id"] = after
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM {{operation}} o {index} {_JOINED} WHERE {' AND '.join(where)} "
        "ORDER BY o.create_time DESC, o.id DESC LIMIT $limit",
        {"limit": str(int(limit))}, **values,
    )  # fmt: skip
    return [OperationRow(*row) for row in rows]


def request(tx: Transaction, call_id: str) -> RequestRow | None:
    """What is to be executed."""
    row = tx.row(
        "SELECT name, request, end_time, CASE WHEN deadline > 0 THEN deadline - {now} ELSE NULL END, lasting "
        "FROM {operation} WHERE id = :id",
        id=call_id,
    )
    return RequestRow(*row) if row else None


def end(
    tx: Transaction, call_id: str, state: str, *, attempts: int | None = None, result: str | None = None,
    error: str | None = None,
) -> bool:  # fmt: skip
    """Write down how a call has ended, unless that stands already; whether it was written."""
    counted = ", attempts = :attempts" if attempts is not None else ""
    return (
        tx.change(
            f"UPDATE {{operation}} SET state = :state, end_time = {{now}}, expire_time = {{now}} + lasting{counted}, "
            "result = :result, error = :error WHERE id = :id AND end_time = 0",
            id=call_id, state=state, attempts=attempts, result=result, error=error,
        )
        > 0
    )  # fmt: skip


def reopen(tx: Transaction, call_id: str, item_id: int, queue_name: str) -> None:
    """Let a call that has ended begin anew, for an item of that queue; it may be begun at any time now."""
    tx.change(
        "UPDATE {operation} SET state = '', end_time = 0, expire_time = 0, due_time = 0, deadline = 0, error = NULL, "
        "result = NULL, item_id = :item, queue_name = :queue WHERE id = :id",
        id=call_id, item=item_id, queue=queue_name,
    )  # fmt: skip


def move(tx: Transaction, call_id: str, request: str) -> None:
    """Store the request of a call as it is packed for another queue."""
    tx.change("UPDATE {operation} SET request = :request WHERE id = :id", id=call_id, request=request)


def lock(tx: Transaction, call_id: str) -> bool:
    """Keep others from changing a call until the end of the transaction; whether there is one."""
    return tx.row("SELECT id FROM {operation} WHERE id = :id {for_update}", id=call_id) is not None


def result(tx: Transaction, call_id: str) -> str | None:
    """What a call returned, encoded."""
    row = tx.row("SELECT result FROM {operation} WHERE id = :id", id=call_id)
    return row[0] if row else None


def expire(tx: Transaction, call_id: str) -> None:
    """Let the time of a result be over."""
    tx.change("UPDATE {operation} SET expire_time = {now} WHERE id = :id", id=call_id)


def remove(tx: Transaction, call_id: str) -> None:
    """Forget a call."""
    tx.change("DELETE FROM {operation} WHERE id = :id", id=call_id)


def pending(tx: Transaction, owner: str, name: str, limit: int) -> int:
    """How many calls of a user have not ended, counted up to ``limit``."""
    rows = tx.rows(
        "SELECT o.item_id FROM {operation} o JOIN {item} i ON i.id = o.item_id "
        "WHERE o.owner = :owner AND o.name = :name AND o.end_time = 0 ORDER BY o.create_time LIMIT $limit",
        {"limit": str(int(limit))}, owner=owner, name=name,
    )  # fmt: skip
    return len(rows)


def wait_for_rate(tx: Transaction, owner: str, name: str, number: int, window: int) -> int | None:
    """Milliseconds until a user has made fewer than ``number`` calls within ``window`` ms; None: that is so now."""
    row = tx.row(
        "SELECT create_time + :window - {now} FROM {operation} WHERE owner = :owner AND name = :name "
        "AND create_time > {now} - :window ORDER BY create_time DESC LIMIT 1 OFFSET $offset",
        {"offset": str(int(number) - 1)}, owner=owner, name=name, window=window,
    )  # fmt: skip
    return max(int(row[0]), 1) if row else None
