"""The list of damages keeps up with the code: each finds its place, and its tests are there."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import main
from tests.mutants.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_given_a_damage_when_looked_up_then_its_places_and_tests_are_there(mutant: Mutant) -> None:
    sources: dict[str, str] = {}
    for change in mutant.changes:
        source = sources.get(change.file) or (ROOT / change.file).read_text(encoding="utf-8")
        sources[change.file] = change.applied_to(source)
    for file, source in sources.items():
        compile(source, file, "exec")
    assert [name for name in mutant.tests if not (ROOT / name).exists()] == []


def test_given_list_then_the_names_are_printed_and_nothing_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "fence"]) == 0
    assert capsys.readouterr().out == "no fence\n"


def test_given_a_word_that_no_name_has_then_one_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no fence", "gate"]) == 2
    assert capsys.readouterr() == ("", "There is no damage with 'gate' in its name: --list prints all names.\n")
