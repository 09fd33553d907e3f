"""What the README shows works as shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from taskqueue.spec import QueueSpec

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_library_in_twenty_lines_runs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    example = re.search(r"```python\n(# shop\.py\n.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / "shop.py").write_text(example[1], encoding="utf-8")

    ran = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "1000 done, 0 failed\n")


def test_the_table_of_options_names_every_option() -> None:
    rows = README[README.index("| option |") :]
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?`) \|", rows, re.MULTILINE))))
    missing = set(QueueSpec("q", "Sql").options()) - named
    assert not missing
