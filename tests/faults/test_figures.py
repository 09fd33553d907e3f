"""The table of the figures of soaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.figures import note, table


def test_given_soaks_when_they_note_their_figures_then_each_is_a_row_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    file = tmp_path / "figures"
    monkeypatch.delenv("SOAK_FIGURES", raising=False)
    note("nobody asks")
    monkeypatch.setenv("SOAK_FIGURES", str(file))
    # when
    note("sqlite", tasks=333_000, worker_kills=500, seconds_to_heal=1.3)
    note("Galera", tasks=40, cluster_kills=5, errors={"1213": 2})
    # then
    head, _rule, *rows = table(file.read_text().splitlines()).splitlines()
    assert head.startswith("| database | tasks | worker kills |")
    assert head.endswith("| seconds to heal | cluster kills | errors |")
    assert rows == [
        "| sqlite | 333,000 | 500 |  |  |  |  |  |  | 1.3 |  |  |",
        "| Galera | 40 |  |  |  |  |  |  |  |  | 5 | 1213: 2 |",
    ]
