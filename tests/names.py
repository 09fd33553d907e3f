"""Names of parametrized tests."""

from __future__ import annotations

import re
from typing import Any


def shown(value: Any) -> str:
    """``repr`` without addresses in memory, which differ in each worker of pytest-xdist and in each run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
