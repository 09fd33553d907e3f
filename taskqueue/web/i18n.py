"""Texts in the language of whoever looks, from catalogues of our own.

The domain is ``taskqueue``, so that neither the host's catalogues nor its gettext functions come into play; only
the host's choice of the language does.
"""

from __future__ import annotations

import gettext
import importlib
import re
from functools import cache, lru_cache
from pathlib import Path

from flask import current_app, has_request_context, request

DOMAIN = "taskqueue"
SOURCE = "en"
FOLDER = Path(__file__).parent / "translations"

_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)
_RTL_LANGUAGES = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "iw", "ps", "sd", "ug", "ur", "yi"})
_RTL_SCRIPTS = frozenset({"adlm", "arab", "hebr", "nkoo", "syrc", "thaa"})
# Up to four digits are read at a glance.
_GROUPED_FROM = 10_000


class Translations:
    """One language: its code, its direction and its texts. Immutable, so that threads may share it."""

    def __init__(self, lang: str, dir: str, catalogue: gettext.NullTranslations) -> None:
        self.lang = lang
        self.dir = dir
        self._catalogue = catalogue

    def gettext(self, message: str, /, **values: object) -> str:
        """The message in this language, its ``%(name)s`` filled in when values are given."""
        return _filled(self._catalogue.gettext(message), values)

    def ngettext(self, singular: str, plural: str, n: int, /, **values: object) -> str:
        """The form for ``n``; ``%(n)s`` is the number as people write it."""
        return _filled(self._catalogue.ngettext(singular, plural, n), {"n": self.number(n), **values})

    def pgettext(self, context: str, message: str, /, **values: object) -> str:
        """As ``gettext``, for a message that means several things."""
        return _filled(self._catalogue.pgettext(context, message), values)

    def percent(self, value: int) -> str:
        """``42%``, as this language writes it."""
        return self.pgettext("percent", "%(number)s%%", number=value)

    def number(self, value: int) -> str:
        """A whole number with this language's separators: ``20,000``."""
        if abs(value) < _GROUPED_FROM:
            return str(value)
        return f"{value:,}".replace(",", self.pgettext("thousands separator", ","))


def choose(wanted: str | None = None) -> Translations:
    """The language of this request: what the application's hook says, else Flask-Babel, else the browser."""
    told = wanted or _flask_babel_locale()
    if told:
        return load(str(told))
    return load(_browser_language() or SOURCE)


@lru_cache(maxsize=64)
def load(locale: str) -> Translations:
    """The texts for a locale such as ``de``, ``de_AT`` or ``ar``.

    Without a catalogue for it the texts are English, and ``lang`` says so; the direction is still that of the
    locale, because the titles and messages of an application that asks for it are written in that direction.
    """
    parts = locale.replace("-", "_").split("_") if _LOCALE.fullmatch(locale) else [SOURCE]
    lang = parts[0].lower()
    rtl = any(part.lower() in _RTL_SCRIPTS for part in parts[1:]) or lang in _RTL_LANGUAGES
    if lang not in languages():
        lang = SOURCE
    # The texts of the code are the source language: it needs no catalogue.
    catalogue = gettext.translation(DOMAIN, FOLDER, languages=[lang], fallback=lang == SOURCE)
    return Translations(lang, "rtl" if rtl else "ltr", catalogue)


@cache
def languages() -> tuple[str, ...]:
    """The languages that there are texts for."""
    return (SOURCE, *sorted(found.parents[1].name for found in FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")))


def _flask_babel_locale() -> str | None:
    if not has_request_context() or "babel" not in current_app.extensions:
        return None
    try:
        locale = importlib.import_module("flask_babel").get_locale()
    except ImportError:  # another extension that goes by the same name
        return None
    return str(locale) if locale else None


def _browser_language() -> str | None:
    """The first of the browser's languages that there are texts for; who reads ``de-AT`` reads ``de``."""
    if not has_request_context():
        return None
    wanted = (tag.replace("_", "-").partition("-")[0].lower() for tag, quality in request.accept_languages if quality)
    return next((language for language in wanted if language in languages()), None)


def _filled(message: str, values: dict[str, object]) -> str:
    return message % values if values else message
