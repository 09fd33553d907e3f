"""Two operations at the same item, their statements in every order: no two valid leases, and nothing ends twice.

The two have at most four steps each here, that is up to 70 orders; with INTERLEAVINGS=all every statement is a step.
On SQLite a transaction keeps all others out, so that whole transactions change places, and statements outside of them.
"""

from __future__ import annotations

import pytest

from tests.faults.theatre import CASES, Case, Theatre
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_given_two_operations_when_their_statements_come_in_any_order_then_leases_and_ends_are_unique(
    theatre: Theatre, case: Case
) -> None:
    assert theatre.violations(case) == []
