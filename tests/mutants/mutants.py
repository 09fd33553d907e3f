"""The damages. Each takes one protection away, and names the tests that must turn red."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Change:
    """One place of the source: ``old`` stands there once and becomes ``new``."""

    file: str
    old: str
    new: str

    def applied_to(self, source: str) -> str:
        """The source with the change."""
        assert source.count(self.old) == 1, f"{self.file} has {source.count(self.old)} places with {self.old!r}"
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """One damage: what it does away with, where, and which tests find that out."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


_CLAIMS, _SETTLING = "taskqueue/storage/claims.py", "taskqueue/storage/settling.py"
_ROWS, _DIALECTS = "taskqueue/storage/rows.py", "taskqueue/storage/dialects.py"

MUTANTS = (
    Mutant(
        "no fence",
        (
            Change(_ROWS, 'return "id = :id AND fence = :fence", None', 'return "id = :id", None'),
            Change(_ROWS, 'return "id IN ($ids) AND fence = CASE id $fences END"', 'return "id IN ($ids)"'),
        ),
        ("tests/contract/test_zombies.py", "tests/contract/test_leases.py", "tests/faults/test_zombie.py"),
    ),
    Mutant(
        "a claim does not look at the state",
        (
            Change(
                _ROWS, "{{claim_index}} WHERE queue_name = :queue AND state = {READY} AND release_time = 0",
                "{{claim_index}} WHERE queue_name = :queue",
            ),
        ),
        ("tests/contract/test_claiming.py", "tests/contract/test_leases.py"),
    ),
    Mutant(
        "a lease is prolonged whatever the state",
        (Change(_SETTLING, 'f"AND state = {LEASED} AND release_time > {{now}}",', '"",'),),
        ("tests/contract/test_leases.py", "tests/contract/test_zombies.py", "tests/model"),
    ),
    Mutant(
        "no check of the queue's status",
        (Change("taskqueue/queues/batch.py", 'return status == "active" and', "return"),),
        ("tests/contract/test_status.py", "tests/contract/test_runner.py"),
    ),
    Mutant(
        "a lease is still valid at the moment of its end",
        (
            Change(
                _SETTLING, 'f"AND state = {LEASED} AND release_time > {{now}}",',
                'f"AND state = {LEASED} AND release_time >= {{now}}",',
            ),
        ),
        ("tests/contract/test_end_of_a_lease.py",),
    ),
    Mutant(
        "due only after its moment",
        (Change(_CLAIMS, '_IS_DUE = "state = {state} AND release_time <= {{now}}"',
                '_IS_DUE = "state = {state} AND release_time < {{now}}"'),),
        ("tests/contract/test_end_of_a_lease.py",),
    ),
    Mutant(
        "the time of the host",
        (
            Change(
                _DIALECTS, 'now = f"({self.now} + {shift})" if shift else self.now',
                "import time\n\n        now = str(int(time.time() * 1000) + shift)",
            ),
        ),
        ("tests/faults/test_clocks.py",),
    ),
    Mutant(
        "in the order of the ids only",
        (Change(_ROWS, "ORDER BY weight, id LIMIT $limit", "ORDER BY id LIMIT $limit"),),
        ("tests/contract/test_claiming.py", "tests/contract/test_items.py", "tests/model"),
    ),
    Mutant(
        "no rollback",
        (
            Change(
                "taskqueue/storage/database.py",
                "except Exception:\n            channel.rollback()",
                'except Exception:\n            channel.execute("COMMIT")',
            ),
        ),
        ("tests/contract/test_dedup.py", "tests/faults/test_every_call.py", "tests/contract/test_batches.py"),
    ),
    Mutant(
        "no guard on release",
        (
            Change(
                _SETTLING, 'f"WHERE {guard} AND is_cancelled = 0",',
                "f\"WHERE {guard.split(' AND fence')[0]} AND is_cancelled = 0\",",
            ),
        ),
        ("tests/contract/test_leases.py", "tests/contract/test_zombies.py", "tests/model"),
    ),
    Mutant(
        "leased items are promoted before their time",
        (
            Change(
                _CLAIMS, "{claim_index}} WHERE queue_name = :queue AND {_IS_DUE.format(state=state)}\"",
                "{claim_index}} WHERE queue_name = :queue AND {_due_or_leased(state)}\"",
            ),
            Change(
                _CLAIMS, 'f"WHERE id IN ($ids) AND {_IS_DUE.format(state=state)}",',
                'f"WHERE id IN ($ids) AND {_due_or_leased(state)}",',
            ),
            Change(
                _CLAIMS, "def _due(state: int) -> str:",
                "def _due_or_leased(state: int) -> str:\n"
                '    return f"state = {state}" if state == LEASED else _IS_DUE.format(state=state)\n\n\n'
                "def _due(state: int) -> str:",
            ),
        ),
        ("tests/contract/test_leases.py", "tests/contract/test_claiming.py"),
    ),
    Mutant(
        "skip whatever stands there",
        (
            Change(
                "taskqueue/runs/actions.py",
                "if problem is not None and (problem.item_id, problem.fence) == (item_id, fence):\n"
                "            how(tx, item_id, fence, problem.is_dead, True)",
                "if problem is not None:\n"
                "            how(tx, problem.item_id, problem.fence, problem.is_dead, True)",
            ),
        ),
        ("tests/contract/test_run_actions.py",),
    ),
    Mutant(
        "dead letters dropped",
        (Change("taskqueue/queues/sql_base.py", "        if how.dead:\n            self.rows.bury(",
                "        if False:\n            self.rows.bury("),),
        ("tests/contract/test_dead_letters.py", "tests/contract/test_outcomes.py"),
    ),
)  # fmt: skip
