"""What an application sets in ``app.config`` under ``TASKQUEUE_*``, read once and checked."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigurationError
from ..spec import nearest, shown

KEY = "TASKQUEUE_"
MODES = ("auto", "inline", "observe")
ON_ABORT = ("keep", "skip")
DAY = 86_400.0

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
_URL_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.~-]+)*", re.ASCII)
_HOST = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_TABLE_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,39}", re.ASCII)


class UnknownKey(UserWarning):
    """``app.config`` has a ``TASKQUEUE_`` key that nothing reads."""


@dataclass(frozen=True)
class WebSettings:
    """The settings of one application; each is ``TASKQUEUE_`` and its name in capitals. Times are seconds."""

    #: Where the blueprint hangs; "" is the root.
    url_prefix: str = "/queue"
    #: Where tasks run: "auto" in a helper thread, "inline" in the request, "observe" elsewhere only.
    mode: str = "auto"
    #: So long one drive request works.
    budget: float = 1.0
    #: These three are those of the service; None: its own.
    heartbeat: float | None = None
    stale_after: float | None = None
    lease_slice: float | None = None
    #: Between two reads of the state by a page.
    poll: float = 1.0
    #: True: every page only watches; all actions are refused.
    read_only: bool = False
    #: The template that the pages extend.
    base_template: str = "taskqueue/base.html"
    #: Other hosts that ``on_end_url`` may lead to, as "host" or "host:port".
    end_url_hosts: tuple[str, ...] = ()
    #: What becomes of the items that are left when a run is aborted.
    on_abort: str = "keep"
    #: Where "sign in again" leads.
    login_url: str | None = None
    #: So long a server that stops waits for the task in hand.
    shutdown_grace: float = 10.0
    #: An SQLAlchemy URL or engine; None: what the service finds by itself.
    database_url: Any = None
    #: Which callbacks may run; None: what the service finds by itself.
    allow: tuple[str, ...] | None = None
    #: Signs what is stored; several keys rotate, the newest last.
    secret_key: tuple[str | bytes, ...] = ()
    #: Of the names of our tables.
    prefix: str = "taskqueue_"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> WebSettings:
        """The settings that ``config`` holds, checked; unknown ``TASKQUEUE_`` keys are warned about.

        Values out of the environment may be text: "0.5", "true", "one,two".
        Raises :class:`ConfigurationError`, naming the key.
        """
        known = {KEY + field.name.upper(): field.name for field in fields(cls)}
        given: dict[str, Any] = {}
        for key, value in config.items():
            if not isinstance(key, str) or not key.startswith(KEY):
                continue
            if key in known:
                given[known[key]] = _CHECKS[known[key]](key, value)
            else:
                warnings.warn(f"{key} is no setting of taskqueue{nearest(key, known)}", UnknownKey, stacklevel=2)
        return cls(**given)._checked_together()

    @property
    def has_own_look(self) -> bool:
        """Whether the pages extend our own base template, which needs nothing from other hosts."""
        return self.base_template == WebSettings.base_template

    def _checked_together(self) -> WebSettings:
        beat, lease, stale = self.heartbeat, self.lease_slice, self.stale_after
        if beat is not None and lease is not None and beat * 2 >= lease:
            raise ConfigurationError(
                f"TASKQUEUE_LEASE_SLICE ({lease:g} s) must be more than twice TASKQUEUE_HEARTBEAT ({beat:g} s), "
                "else one late beat loses the lease"
            )
        if beat is not None and stale is not None and beat >= stale:
            raise ConfigurationError(
                f"TASKQUEUE_STALE_AFTER ({stale:g} s) must be more than TASKQUEUE_HEARTBEAT ({beat:g} s), "
                "else every running task looks dead"
            )
        return self


Check = Callable[[str, Any], Any]


def _seconds(most: float, *, zero: bool = False, optional: bool = False) -> Check:
    def check(key: str, value: Any) -> float | None:
        if value is None and optional:
            return None
        number = _float(value)
        # NaN is neither more nor less than anything.
        if number is not None and (number > 0 or (zero and number == 0)) and number <= most:
            return number
        least = "0" if zero else "more than 0"
        raise ConfigurationError(f"{key} must be seconds from {least} to {most:g}, not {shown(value)}")

    return check


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and (word := value.strip().lower()) in _TRUE + _FALSE:
        return word in _TRUE
    raise ConfigurationError(f"{key} must be True or False, not {shown(value)}")


def _one_of(values: tuple[str, ...]) -> Check:
    def check(key: str, value: Any) -> str:
        if isinstance(value, str) and value in values:
            return value
        hint = nearest(value, values) if isinstance(value, str) else ""
        raise ConfigurationError(f"{key} must be one of {', '.join(map(repr, values))}, not {shown(value)}{hint}")

    return check


def check_url_prefix(key: str, value: Any) -> str:
    """A path without a slash at its end. Raises :class:`ConfigurationError`, naming the key."""
    if isinstance(value, str) and _URL_PREFIX.fullmatch(stripped := value.rstrip("/")):
        return stripped
    raise ConfigurationError(f"{key} must be a path such as '/queue', not {shown(value)}")


def _template(key: str, value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ConfigurationError(f"{key} must be the name of a template such as 'base.html', not {shown(value)}")


def _hosts(key: str, value: Any) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _words(key, value))
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{key} must hold hosts such as 'example.com' or 'example.com:8443': {shown(host)}"
            )
    return hosts


def _words(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        words = tuple(value)
        if all(isinstance(word, str) and word.strip() for word in words):
            return tuple(word.strip() for word in words)
    raise ConfigurationError(f"{key} must be a list of names, not {shown(value)}")


def _allow(key: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    words = _words(key, value)
    if isinstance(value, str) and not words:
        raise ConfigurationError(f"{key} names no package: separate package names by commas")
    return words


def _login_url(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isprintable() and not set(' \\"<>') & set(value):
        lower = value.lower()
        if lower.startswith(("http://", "https://")) or (lower.startswith("/") and not lower.startswith("//")):
            return value
    raise ConfigurationError(f"{key} must be a path such as '/login' or an address with http(s)://, not {shown(value)}")


def _database(key: str, value: Any) -> Any:
    # An address may hold a password, so no value is ever shown. What is no text is taken for an engine or an
    # sqlalchemy.URL; only the service, which may import SQLAlchemy, can tell.
    if isinstance(value, str):
        if value.strip():
            return value.strip()
    elif value is None or hasattr(value, "dialect") or hasattr(value, "drivername"):
        return value
    raise ConfigurationError(f"{key} must be the address of a database, such as 'sqlite:///queue.db', or an engine")


def _keys(key: str, value: Any) -> tuple[str | bytes, ...]:
    if value is None:
        return ()
    keys = (value,) if isinstance(value, (str, bytes)) else value
    if isinstance(keys, (list, tuple)) and all(map(_is_secret, keys)):
        return tuple(keys)
    raise ConfigurationError(
        f"{key} must be a secret text of 16 characters or more, or a list of them with the newest last"
    )


def _is_secret(one: Any) -> bool:
    return isinstance(one, (str, bytes)) and len(one) >= 16


def _prefix(key: str, value: Any) -> str:
    if isinstance(value, str) and _TABLE_PREFIX.fullmatch(value):
        return value
    raise ConfigurationError(
        f"{key} must begin the name of a table, such as 'taskqueue_' (small letters, digits, '_'), not {shown(value)}"
    )


_CHECKS: dict[str, Check] = {
    "url_prefix": check_url_prefix,
    "mode": _one_of(MODES),
    "budget": _seconds(600),
    "heartbeat": _seconds(DAY, optional=True),
    "stale_after": _seconds(DAY, optional=True),
    "lease_slice": _seconds(DAY, optional=True),
    "poll": _seconds(3600),
    "read_only": _flag,
    "base_template": _template,
    "end_url_hosts": _hosts,
    "on_abort": _one_of(ON_ABORT),
    "login_url": _login_url,
    "shutdown_grace": _seconds(DAY, zero=True),
    "database_url": _database,
    "allow": _allow,
    "secret_key": _keys,
    "prefix": _prefix,
}
