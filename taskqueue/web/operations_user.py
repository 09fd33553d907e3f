"""Who calls an operation, as the application, or Flask-Login, says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ..operations import User
from .identity import flask_login_id

#: ``identity()`` returns who calls: a user, the id of one, or None: nobody is signed in.
UserHook = Callable[[], "User | str | int | None"]


def signed_in(identity: UserHook | None) -> User | str | int | None:
    """Who is signed in, if anybody.

    Arguments:
        identity: the hook; None: Flask-Login is asked, if it is there.

    Raises :class:`ConfigurationError` when the hook returns something else than it may.
    """
    found: Any = identity() if identity is not None else flask_login_id()
    if isinstance(found, User):
        return found if found.id not in (None, "") else None
    # An empty id would make one user of all who lack one, and True one of all who have one.
    if found is not None and (isinstance(found, bool) or not isinstance(found, (str, int)) or found == ""):
        empty = " (empty)" if found == "" else ""
        raise ConfigurationError(
            "the identity hook must return a User, the id of one (text or number), or None, not "
            f"{type(found).__name__}{empty}"
        )
    return found
