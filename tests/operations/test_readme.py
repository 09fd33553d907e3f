"""The tests that the tables beside these name are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")


def test_each_row_names_tests_that_exist() -> None:
    rows = [line for line in README.splitlines() if re.match(r"\| (?!Behaviour|---|\| What)", line)]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`([\w./]+)`(?:: ([^;|]*))?", row.rpartition(" | ")[2])
        assert named, row
        for place, tests in named:
            assert (HERE / place).exists(), place
            for name in re.sub(r"\(.*?\)", "", tests).split(","):
                assert not name.strip() or _is_there(HERE / place, name.strip()), (place, name)


def _is_there(file: Path, name: str) -> bool:
    start, _, end = name.partition("…")
    wanted = rf"^def test_{re.escape(start)}\w*{re.escape(end)}\("
    return re.search(wanted, file.read_text(encoding="utf-8"), re.MULTILINE) is not None
