"""What schemathesis cannot know of these operations."""

from __future__ import annotations

import hashlib
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What a schema cannot tell of a good request.

    The same key with other data is refused: so each body has a key of its own. A call must not expire before it is due,
    and no schema compares two values: so those that are due later do not expire.
    """
    is_good = case.meta is None or not case.meta.generation.mode.is_negative
    if not is_good:
        return
    if case.headers and case.headers.get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = hashlib.sha256(repr(case.body).encode()).hexdigest()
    options = case.body.get("options") if isinstance(case.body, dict) else None
    if isinstance(options, dict) and {"delay", "release_time"} & options.keys():
        options.pop("expires", None)
