"""What the long forms of the fault tests have counted, for the table of ``make soak``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def note(what: str, **figures: Any) -> None:
    """Print the figures, and append them as a line of JSON to the file that ``SOAK_FIGURES`` names."""
    line = json.dumps({"what": what, **figures})
    print(line)
    if path := os.environ.get("SOAK_FIGURES"):
        with Path(path).open("a") as file:
            file.write(line + "\n")
