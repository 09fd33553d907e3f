"""What the addresses of one :class:`OperationsApi` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app, request

from ..operations import Operations, User
from .i18n import Translations, choose
from .operations_problem import Problem
from .operations_user import UserHook, signed_in

EXTENSION = "taskqueue.operations"


#: Of the human page, where it is translated, and of the document.
USUAL_TITLE = "Operations"


@dataclass(frozen=True)
class OperationsSite:
    """The operations of one application under one blueprint name."""

    name: str
    operations: Operations
    identity: UserHook | None
    locale: Callable[[], str | None] | None
    max_bytes: int
    max_wait: float
    security: Mapping[str, Any] | None
    title: str
    version: str

    def user(self) -> User:
        """Who calls. Raises :class:`Problem` (401, 403)."""
        user = self.operations.user_of(signed_in(self.identity))
        if user.id is None:
            raise Problem(401, "not_signed_in", "sign in first", headers={"WWW-Authenticate": self._challenge()})
        if not user.is_active:
            raise Problem(403, "access_denied", "this user is unknown or not active")
        return user

    def security_scheme(self) -> dict[str, Any]:
        """How clients show who they are, as OpenAPI says it."""
        if self.security is not None:
            return dict(self.security)
        return {"type": "apiKey", "in": "cookie", "name": str(current_app.config["SESSION_COOKIE_NAME"])}

    def _challenge(self) -> str:
        scheme = self.security_scheme()
        kind = str(scheme.get("scheme", "")).title() if scheme.get("type") == "http" else "Cookie"
        return f'{kind} realm="operations"'

    def translate(self) -> Translations:
        """The texts in the language of this request."""
        return choose(self.locale() if self.locale is not None else None)


def current_site() -> OperationsSite:
    """The site behind the blueprint that answers this request."""
    site: OperationsSite = current_app.extensions[EXTENSION][request.blueprint]
    return site
