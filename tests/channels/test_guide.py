"""What docs/channels.md shows works as shown."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from taskqueue.channels import Channels, Message, Window

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "channels.md").read_text(encoding="utf-8")


def test_the_smallest_example_runs_as_shown(tmp_path: Path) -> None:
    example = re.search(r"```python\n(# letters\.py\n.*?)```\n\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    (tmp_path / "letters.py").write_text(example[1], encoding="utf-8")

    shown = [line.split("#") for line in example[2].splitlines()]
    for command, output in shown:
        words = command.replace("taskqueue", "python -m taskqueue", 1).split()[1:]
        ran = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout.strip()) == (0, output.strip()), ran.stderr
    assert len(shown) == 2


def test_the_other_examples_are_python() -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(examples) > 4
    for example in examples:
        ast.parse(example)


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
