"""Leases of the dead that a clock which was set back has prolonged.

A lease ends by the database's clock. When that clock is set back by an hour, a living holder shortens its leases with
its next heartbeat, but those of a dead one would last an hour longer. Their holder is known by its last sign of life,
which lies in the future and stays as it is.
"""

from __future__ import annotations

import time

from .presence import TOKEN_LENGTH
from .rows import listed
from .schema import LEASED
from .transaction import Transaction

#: How often the length of a lease it may at most be ahead, unless its holder is alive.
_FARTHEST = 2


class Stranded:
    """What one process has seen of signs of life that come from the future."""

    def __init__(self) -> None:
        #: By the token of a holder its latest sign of life, and since when (monotonic seconds) it is known here.
        self._seen: dict[str, tuple[int, float]] = {}

    def free(self, tx: Transaction, lease: int) -> int:
        """End leases whose holder has been silent for the length of a lease (ms), after the clock was set back.

        To be called at each sign of life; nearly always it is one look at a small table. Returns how many were ended.
        """
        rows = tx.rows(
            "SELECT token, beat_time, beat_period FROM {holder} WHERE beat_time > {now} + :lease", lease=lease
        )
        moment = time.monotonic()
        known, self._seen = self._seen, {}
        silent: dict[str, int] = {}
        for token, beat_time, period in rows:
            latest, since = known.get(token, (beat_time, moment))
            self._seen[token] = seen = (beat_time, since if latest == beat_time else moment)
            if moment - seen[1] > max(lease, 2 * period) / 1000:
                silent[token] = beat_time
        return sum(_end(tx, token, beat_time, lease) for token, beat_time in silent.items())


def _end(tx: Transaction, token: str, beat_time: int, lease: int) -> int:
    # What lies further ahead of its sign of life was claimed by hand, for as long as its holder said.
    far = (
        f"state = {LEASED} AND release_time > {{now}} + {_FARTHEST * int(lease)} "
        f"AND release_time <= {int(beat_time) + _FARTHEST * int(lease)}"
    )
    rows = tx.rows(f"SELECT id FROM {{item}} WHERE {far} AND SUBSTR(holder, 1, {TOKEN_LENGTH}) = :token", token=token)
    ended = 0
    if rows:
        ended = tx.change(
            f"UPDATE {{item}} SET release_time = {{now}} WHERE id IN ($ids) AND {far} "
            f"AND SUBSTR(holder, 1, {TOKEN_LENGTH}) = :token",
            listed(row[0] for row in rows),
            token=token,
        )
    # So that nobody has to look for them again.
    tx.change(
        "UPDATE {holder} SET beat_time = {now} WHERE token = :token AND beat_time = :beat_time",
        token=token,
        beat_time=beat_time,
    )
    return ended
