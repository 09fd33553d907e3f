"""The messages that stand in the code and the templates of the web part, as the translators' tools find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (("taskqueue/web", "**.py", "python"), ("templates/taskqueue", "**.html", "jinja2"))
#: ``_p`` is short for ``pgettext`` as ``_`` is for ``gettext``.
KEYWORDS = {**DEFAULT_KEYWORDS, "_p": ((1, "c"), 2)}


def messages() -> Iterator[Message]:
    """Each of them once."""
    catalogue = Catalog()
    for folder, pattern, method in SOURCES:
        found = extract_from_dir(ROOT / folder, [(pattern, method)], keywords=KEYWORDS)
        for _file, _line, text, _comments, context in found:
            catalogue.add(text, context=context)
    return (message for message in catalogue if message.id)
