"""What docs/outbox.md shows works as shown."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from taskqueue.outbox import ServiceOptions
from taskqueue.outbox.proxy import CALL_OPTIONS

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "outbox.md").read_text(encoding="utf-8")


def test_the_smallest_example_runs_as_shown(tmp_path: Path) -> None:
    example = re.search(r"```python\n(# orders\.py\n.*?)```\n\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    (tmp_path / "orders.py").write_text(example[1], encoding="utf-8")

    shown = [line.split("#") for line in example[2].splitlines()]
    for command, output in shown:
        words = command.replace("taskqueue", "python -m taskqueue", 1).split()[1:]
        ran = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout.strip()) == (0, output.strip()), ran.stderr
    assert len(shown) == 2


def test_the_other_examples_are_python() -> None:
    examples = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(examples) > 3
    for example in examples:
        ast.parse(example)


def test_every_option_is_named() -> None:
    named = set(re.findall(r"`(\w+)[`=]", GUIDE))
    assert {field.name for field in fields(ServiceOptions)} | set(CALL_OPTIONS) <= named
