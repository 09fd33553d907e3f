"""Who may see which queues, and do what to them. Closed by default: without a hook nobody may anything."""

from __future__ import annotations

import logging
from functools import cached_property

from ..i18n import Translations
from ..permission import SEEING
from ..site import Site

_log = logging.getLogger(__name__)


class Access:
    """What one visitor may, in one request."""

    def __init__(self, site: Site, translate: Translations) -> None:
        self.site = site
        self.translate = translate
        self._known: dict[tuple[str, str | None], bool] = {}

    def may(self, action: str, queue: str | None = None) -> bool:
        """Whether the visitor may do that to a queue, or (None) to any at all."""
        key = action, queue
        if key not in self._known:
            self._known[key] = self._asked(action, queue)
        return self._known[key]

    def _asked(self, action: str, queue: str | None) -> bool:
        hook = self.site.authorize_dashboard
        if hook is None or (self.site.settings.read_only and action not in SEEING):
            return False
        try:
            if action != "view" and not self.may("view", queue):
                return False
            return hook(action, queue) is True
        except Exception:  # who cannot be asked does not permit
            _log.exception("the authorize_dashboard hook failed on %r and counts as a denial", action)
            return False

    @cached_property
    def names(self) -> list[str]:
        """The queues that the visitor may see."""
        return [name for name in self._all if self.may("view", name)]

    @property
    def sees_all(self) -> bool:
        """Whether that is all there are."""
        return len(self.names) == len(self._all)

    @cached_property
    def _all(self) -> list[str]:
        return self.site.overview.names()

    def where(self, action: str) -> tuple[str, ...]:
        """The queues in which the visitor may do that."""
        return tuple(name for name in self.names if self.may(action, name))
