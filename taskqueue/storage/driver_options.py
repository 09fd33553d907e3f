"""Options in the address of a database that its driver does not know, which is told in one sentence.

Only names are told: a value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ConfigurationError
from ..spec import shown

#: How drivers say it, each with an exception of another type.
_UNKNOWN = re.compile(r"(unexpected|invalid) keyword argument|invalid connection option")


def known_only(connect: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """``connect`` of a driver, which says so when it does not know one of the options with these names."""
    options_of_address = [*names]

    def connect_with(*args: Any, **options: Any) -> Any:
        try:
            return connect(*args, **options)
        except Exception as error:
            name = _unknown(str(error), options_of_address)
            if name is None:
                raise
        raise ConfigurationError(f"the database address has an option that the driver does not know: {shown(name)}")

    return connect_with


def _unknown(said: str, names: Iterable[str]) -> str | None:
    if not _UNKNOWN.search(said):
        return None
    return next((name for name in names if f"'{name}'" in said or f'"{name}"' in said), None)
