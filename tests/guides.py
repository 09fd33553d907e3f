"""The guides of docs/: what they show works as shown."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

_DOCS = Path(__file__).resolve().parents[1] / "docs"


def guide(name: str) -> str:
    """The text of a guide."""
    return (_DOCS / f"{name}.md").read_text(encoding="utf-8")


def smallest_example(text: str, module: str, folder: Path) -> list[tuple[str, str]]:
    """Write the module that a guide shows first into a folder; the commands below it, each with its output."""
    example = re.search(rf"```python\n(# {module}\.py\n.*?)```\n\n```sh\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (folder / f"{module}.py").write_text(example[1], encoding="utf-8")
    lines = (line.partition("#") for line in example[2].splitlines())
    return [(command.strip(), output.strip()) for command, _, output in lines]


def run_as_shown(shown: list[tuple[str, str]], folder: Path) -> None:
    """Run the commands in the folder; each must print what is shown."""
    for command, output in shown:
        words = command.replace("taskqueue", "python -m taskqueue", 1).split()[1:]
        ran = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout.strip()) == (0, output), ran.stderr


def python_in(text: str) -> list[str]:
    """The examples of a guide, which must be Python."""
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for example in examples:
        ast.parse(example)
    return examples
