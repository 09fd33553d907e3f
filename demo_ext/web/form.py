"""The form with which an import begins: what it offers, what was entered, and what is wrong with that."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from werkzeug.datastructures import FileStorage, MultiDict

from ..tasks import Trouble
from .sources import SAMPLES

#: Values and words of the two lists.
SECONDS = {"0": "as quick as they can", "0.5": "half a second each", "2": "2 seconds each", "5": "5 seconds each"}
FAILING = {"0": "none", "1": "one", "3": "three"}
#: What the choice of a file of one's own is called.
OWN = "own"
MAX_BATCH = 10_000
#: How an import is called in addresses, and behind the name of the queue.
KEY = re.compile(r"[0-9a-f]{12}", re.ASCII)


@dataclass
class ImportForm:
    """The fields as the user sees them, and the mistakes by the name of the field."""

    #: Made with the form: the same form sent twice is one import.
    key: str = field(default_factory=lambda: secrets.token_hex(6))
    source: str = "cities"
    batch_size: str = "300"
    seconds: str = "0"
    failing: str = "0"
    upload: FileStorage | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> ImportForm:
        """What was sent, checked: without ``errors`` it is fit to be imported."""
        upload = files.get("upload")
        form = cls(
            source=fields.get("source", ""),
            batch_size=fields.get("batch_size", "").strip(),
            seconds=fields.get("seconds", "0"),
            failing=fields.get("failing", "0"),
            # A browser sends an empty field without a name when no file was chosen.
            upload=upload if upload is not None and upload.filename else None,
        )
        if KEY.fullmatch(fields.get("key", "")):
            form.key = fields["key"]
        if form.upload is not None:
            form.source = OWN  # whoever chooses a file means it, whatever is marked above
        form._check()
        return form

    def _check(self) -> None:
        if self.source == OWN:
            if self.upload is None:
                self.errors["upload"] = "Choose a CSV file, or one of the samples."
        elif self.source not in SAMPLES:
            self.errors["source"] = "Choose one of the samples, or a file of your own."
        digits = self.batch_size.isascii() and self.batch_size.isdigit() and len(self.batch_size) <= 5
        if not digits or not 1 <= int(self.batch_size) <= MAX_BATCH:
            self.errors["batch_size"] = f"Enter a whole number from 1 to {MAX_BATCH}."
        for name, given, known in (("seconds", self.seconds, SECONDS), ("failing", self.failing, FAILING)):
            if given not in known:
                self.errors[name] = "Choose one of the list."

    @property
    def trouble(self) -> Trouble:
        """What was wished for, so that there is something to watch."""
        return Trouble(float(self.seconds), int(self.failing))
