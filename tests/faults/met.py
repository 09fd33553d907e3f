"""Which errors of a database the processes of a test have met, whatever was done about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from taskqueue.storage import database, faults
from tests.faults.history import Line


def count_errors() -> Counter[str]:
    """Count from now on, in this process, each error of a driver once, by its number or state."""
    met: Counter[str] = Counter()
    judge = database.classify

    def judged(error: BaseException, **more: Any) -> Any:
        driver = faults.original(error)
        if not getattr(driver, "was_counted", False):
            driver.was_counted = True  # type: ignore[attr-defined]
            known = (driver.args[0] if driver.args else None, getattr(driver, "sqlstate", None))
            code = next((str(one) for one in known if isinstance(one, int) or (one and len(str(one)) == 5)), None)
            met[code or type(driver).__name__] += 1
        return judge(error, **more)

    database.classify = judged
    return met


def all_met(lines: Iterable[Line]) -> dict[str, int]:
    """What the processes that came to their end have met in all."""
    total: Counter[str] = Counter()
    for line in lines:
        if line["kind"] == "met":
            total.update(line["errors"])
    return dict(sorted(total.items()))
