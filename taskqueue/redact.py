"""Arguments and errors of tasks as they may be shown: what looks like a secret is hidden."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

HIDDEN = "[hidden]"
#: Deeper than the serializer goes; what lies deeper was not stored by us.
DEEPEST = 40

#: ``hook(name, value)`` returns the value to be shown, :data:`HIDDEN` or another one; name is "" where there is none.
RedactHook = Callable[[str, Any], Any]

_TELLTALE = r"passw|pwd|secret|token|key|authori[sz]ation|cookie|credential"
_TELLTALE_NAME = re.compile(_TELLTALE, re.IGNORECASE)
# The patterns are bounded, so that they take linear time on a megabyte of anything.
# "user:password@" in an address ...
_USER_INFO = re.compile(r"""(?<=://)(?:[^/?#\s]{0,1024}|[^\s/@:"'<>]{0,256}:[^\s@"'<>]{0,256})@""")
# ... "password=x" in one, or in a line of settings ...
_ASSIGNED = re.compile(
    rf"""((?:{_TELLTALE})[\w.-]{{0,64}}["']?\s{{0,4}}[=:]\s{{0,4}})(?:bearer\s|basic\s)?"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s&;,]+)""",
    re.IGNORECASE,
)
# ... and a header without its name.
_BEARER = re.compile(r"\b(bearer|basic)\s[\w.~+/=-]{16,}", re.IGNORECASE)


# In prose, such as the text of an error, "key: x" and "token: x" are seldom secrets.
_ASSIGNED_IN_PROSE = re.compile(
    r"""((?:passw|pwd|secret|credential|authori[sz]ation|api.?key|access.?token)[\w.-]{0,64}["']?\s{0,4}[=:]\s{0,4})"""
    r"""(?:bearer\s|basic\s)?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s&;,]+)""",
    re.IGNORECASE,
)


def redact_text(text: str) -> str:
    """Prose, such as the text of an error, without passwords in addresses, "password=x" and "Bearer x"."""
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    text = _ASSIGNED_IN_PROSE.sub(rf"\g<1>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<1> {HIDDEN}", text)


def redact(value: Any, hook: RedactHook | None = None) -> Any:
    """A copy of ``value`` in which everything that is named like a secret is :data:`HIDDEN`, at any depth.

    Arguments:
        hook: sees every value that is left and says what to show instead; when it raises, nothing is shown.
    """
    return _shown("", value, hook, 0)


def redact_call(
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    parameters: Iterable[str] = (),
    hook: RedactHook | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, redacted; ``parameters`` are the names of the positional ones, as far as known."""
    names = [*parameters][: len(args)]
    names += [""] * (len(args) - len(names))
    shown = [_shown(name, value, hook, 0) for name, value in zip(names, args, strict=True)]
    return shown, {str(name): _shown(str(name), value, hook, 0) for name, value in (kwargs or {}).items()}


def _shown(name: str, value: Any, hook: RedactHook | None, depth: int) -> Any:
    if depth > DEEPEST or _TELLTALE_NAME.search(name):
        return HIDDEN
    if hook is not None:
        try:
            value = hook(name, value)
        except Exception:
            return HIDDEN
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {
            _text(key) if isinstance(key, str) else key: _shown(_name(key), each, hook, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return _items(value, hook, depth)
    if isinstance(value, (bytes, bytearray)):
        # Keys are bytes more often than not, and nobody reads them.
        return f"<{len(value)} bytes>"
    return value


def _items(value: Iterable[Any], hook: RedactHook | None, depth: int) -> list[Any]:
    items = list(value)
    if len(items) == 2 and isinstance(items[0], str) and _is_name_of_secret(items[0]):
        return [items[0], HIDDEN]  # one of a list of pairs, as headers are given
    return [_shown("", each, hook, depth + 1) for each in items]


def _is_name_of_secret(text: str) -> bool:
    return len(text) <= 64 and not re.search(r"\s", text) and _TELLTALE_NAME.search(text) is not None


def _name(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _text(text: str) -> str:
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\g<1>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<1> {HIDDEN}", text)
