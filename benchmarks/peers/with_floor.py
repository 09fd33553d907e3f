"""The floors: bare loops on the drivers, in as many processes as there are workers.

1c: the end of a task and the claim of the next one in one commit. p100: a hundred claimed in one commit, each finished
in its own. b100: a hundred claimed and finished in one commit each, so that a crash repeats up to a hundred.
"""

from __future__ import annotations

import json
import random
import sys
import time

from sqlalchemy.engine import make_url

from benchmarks.floors import FLOORS, Floor

from .contestant import url
from .witness import mark

_BATCH, _LEASE_MS = 100, 30_000


def produce(count: int, bulk: bool) -> None:
    """Put tasks in."""
    floor = _floor(create=True)
    (floor.insert_bulk if bulk else floor.insert_each)(count)
    floor.close()


def _floor(*, create: bool) -> Floor:
    name = make_url(url()).get_backend_name()
    return FLOORS["mariadb" if name == "mysql" else name](url(), create=create)


def _claim(floor: Floor, token: int, limit: int = _BATCH) -> list[tuple[int, str]]:
    return list(floor.claim(limit, token, time.time_ns() // 1_000_000 + _LEASE_MS))


def p100(floor: Floor) -> None:
    """Each task is durable before the next one begins."""
    delete = floor.sql("DELETE FROM bare WHERE id = ? AND token = ?")
    token = random.getrandbits(62)
    while claimed := _claim(floor, token):
        for row_id, text in claimed:
            mark(json.loads(text))
            floor.cursor.execute(delete, (row_id, token))
            assert floor.cursor.rowcount == 1


def b100(floor: Floor) -> None:
    """A hundred at a time."""
    token = random.getrandbits(62)
    while claimed := _claim(floor, token):
        for _row_id, text in claimed:
            mark(json.loads(text))
        listed = ", ".join(str(row_id) for row_id, _text in claimed)
        floor.execute(f"DELETE FROM bare WHERE id IN ({listed}) AND token = ?", (token,))
        assert floor.cursor.rowcount == len(claimed)


def c1(floor: Floor) -> None:
    """One commit for each task."""
    token, last = random.getrandbits(62), 0
    while True:
        floor.begin()
        floor.execute("DELETE FROM bare WHERE id = ? AND token = ?", (last, token))
        claimed = floor.claim_within(1, token, time.time_ns() // 1_000_000 + _LEASE_MS)
        floor.execute("COMMIT")
        if not claimed:
            return
        last = claimed[0][0]
        mark(json.loads(claimed[0][1]))


if __name__ == "__main__":
    {"1c": c1, "p100": p100, "b100": b100}[sys.argv[1]](_floor(create=False))
