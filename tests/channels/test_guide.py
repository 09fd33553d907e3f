"""What docs/channels.md shows works as shown."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from taskqueue.channels import Channels, Message, Window
from tests.guides import guide, python_in, run_as_shown, smallest_example

GUIDE = guide("channels")


def test_the_smallest_example_runs_as_shown(tmp_path: Path) -> None:
    shown = smallest_example(GUIDE, "letters", tmp_path)
    run_as_shown(shown, tmp_path)
    assert len(shown) == 2


def test_the_other_examples_are_python() -> None:
    assert len(python_in(GUIDE)) > 4


def test_all_there_is_to_say_is_named() -> None:
    public = [name for name in vars(Channels) if not name.startswith("_")]
    options = {option for name in public for option in inspect.signature(getattr(Channels, name)).parameters} - {
        "self", "name", "message", "channel", "data",
    }  # fmt: skip
    facts = {field.name for field in (*fields(Message), *fields(Window)) if not field.name.startswith("_")}
    blocks = re.findall(r"```python\n.*?```", GUIDE, re.DOTALL)
    inline = re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL))
    words = set(re.findall(r"\w+", " ".join([*blocks, *inline])))

    assert {*public, *options, *facts, "origin"} <= words
