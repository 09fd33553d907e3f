"""The table of the figures of soaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.figures import report, table


def test_given_soaks_when_they_report_then_each_is_a_row_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    file = tmp_path / "figures"
    report(database="nobody asks")
    monkeypatch.setenv("SOAK_FIGURES", str(file))
    # when
    report(database="sqlite", tasks=333_000, worker_kills=500, seconds_to_heal=1.26)
    report(database="galera", tasks=40, cluster_kills=5)
    # then
    head, _rule, *rows = table([json.loads(line) for line in file.read_text().splitlines()]).splitlines()
    assert head.startswith("| database | tasks | worker kills |") and head.endswith("| cluster kills |")
    assert [[cell.strip() for cell in row.split("|")[1:4]] for row in rows] == [
        ["sqlite", "333,000", "500"], ["galera", "40", ""],
    ]  # fmt: skip
    assert "| 1.3 |" in rows[0] and rows[1].endswith("| 5 |")
