"""Text of others inside a sentence of ours: it must not turn the sentence round."""

from __future__ import annotations

import unicodedata

_ISOLATES = dict.fromkeys(map(ord, "\u2066\u2067\u2068\u2069"))
_TURNING = frozenset({"R", "AL", "RLE", "RLO", "LRE", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"})


def isolated(text: str) -> str:
    """The text, between marks that keep its direction to itself if it has one of its own.

    An isolate that the text itself opens or closes would break out of ours, so these are left out; whatever else
    it opens ends with our mark.
    """
    if not any(unicodedata.bidirectional(character) in _TURNING for character in text):
        return text
    return f"\u2068{text.translate(_ISOLATES)}\u2069"


def shortened(text: str, length: int) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
