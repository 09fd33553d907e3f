"""``python -m demo_ext`` as a whole, on each database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.application import Application
from tests.servers import ALL_DATABASES


def hostile_folder(folder: Path) -> Path:
    source = folder / "source"
    (source / "deeper").mkdir(parents=True)
    good = "City;Country;Pop;Lat;Lng;Mayor\n"
    (source / "a.csv").write_bytes(b"\xef\xbb\xbf" + f'{good}Köln;DE;1;50,9;6,9;"A\nB"\n\n😀;;;;;\n'.encode())
    (source / "b.TSV").write_text("name\tpopulation\nBonn\tmany\nBerlin\t3\nshort\n")
    (source / "c.csv").write_bytes("name\nMünchen\n".encode("latin-1"))
    (source / "deeper" / "d.txt").write_text("label,note\nx," + "y" * 200_000 + "\nz,ok\n")
    (source / "empty.csv").write_bytes(b"")
    (source / "picture.csv").write_bytes(b"\x89PNG\0")
    (source / "readme.md").write_text("name\nnot a CSV file\n")
    return source


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_given_a_folder_of_good_and_hostile_files_when_imported_then_each_row_is_kept_or_reported(
    application: Application,
) -> None:
    source = hostile_folder(application.folder)

    done = application.run(source, "--batch-size", "1")

    assert done.returncode == 0, done.stderr
    nothing = (None, None, None, None)
    assert application.rows() == [
        ("a.csv", 2, "Köln", "DE", 1, 50.9, 6.9, {"Mayor": "A\nB"}),
        ("a.csv", 5, "😀", *nothing, {}),
        ("b.TSV", 3, "Berlin", None, 3, None, None, {}),
        ("c.csv", 2, "München", *nothing, {}),
        ("d.txt", 3, "z", *nothing, {"note": "ok"}),
    ]
    bad = application.bad_rows()
    assert [(name, line) for name, line, _ in bad] == [
        ("b.TSV", 2),
        ("b.TSV", 4),
        ("d.txt", 2),
        ("empty.csv", 0),
        ("picture.csv", 0),
    ]
    assert "5 rows of 4 files imported, 5 bad rows." in done.stdout
    assert f"Read as Latin-1, because it is not UTF-8: {source / 'c.csv'}" in done.stdout
    assert all(reason in done.stdout for _, _, reason in bad)


def test_given_a_file_of_more_batches_than_one_part_when_imported_then_all_parts_are(application: Application) -> None:
    source = application.folder / "many.csv"
    source.write_text("name\n" + "".join(f"place {number}\n" for number in range(450)))

    done = application.run(source, "--batch-size", "1")

    assert done.returncode == 0, done.stderr
    assert [row[1:3] for row in application.rows()] == [(number + 2, f"place {number}") for number in range(450)]


def test_given_a_file_that_is_named_and_lies_in_a_named_folder_when_imported_then_it_comes_once(
    application: Application,
) -> None:
    folder = application.folder / "source"
    folder.mkdir()
    (folder / "a.csv").write_text("name\nx\n")

    done = application.run(folder, folder / "a.csv")

    assert done.returncode == 0, done.stderr
    assert [row[2] for row in application.rows()] == ["x"]


def test_given_a_finished_import_when_started_again_then_it_is_repeated_from_scratch(
    application: Application,
) -> None:
    source = application.folder / "a.csv"
    source.write_text("name\nx\ny,bad\n")
    application.run(source)
    source.write_text("name\nz\n")

    again = application.run(source)

    assert again.returncode == 0, again.stderr
    assert "it starts from scratch" in again.stdout
    assert ([row[2] for row in application.rows()], application.bad_rows()) == (["z"], [])


def test_given_a_file_that_changes_when_it_is_cut_already_then_the_import_fails_until_begun_afresh(
    application: Application,
) -> None:
    source = application.folder / "a.csv"
    source.write_text("name\nx\ny\nz\n")
    assert application.run("cut", source, module="tests.demo.child").returncode == 0
    source.write_text("name\nchanged\n")

    failed = application.run()
    other = application.run(application.folder)
    fresh = application.run(source, "--fresh")

    assert failed.returncode == 1
    assert f"{source} was changed since its import began" in failed.stderr + failed.stdout
    assert "Traceback" not in failed.stderr
    assert (other.returncode, "is not finished" in other.stderr) == (2, True)
    assert fresh.returncode == 0, fresh.stderr
    assert [row[2] for row in application.rows()] == ["changed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.csv"], "missing.csv does not exist"),
        (["empty.csv"], "empty.csv is empty"),
        (["--batch-size", "0"], "a whole number from 1 to 10000 is needed, not '0'"),
        (["--database", "nonsense"], "the database address is no URL"),
        (["--database", "sqlite:////missing/folder/demo.db"], "sqlite:////missing/folder/demo.db"),
    ],
)
def test_given_a_bad_argument_when_started_then_one_sentence_and_exit_code_2(
    application: Application, arguments: list[str], sentence: str
) -> None:
    (application.folder / "empty.csv").touch()

    done = application.run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_given_help_when_asked_for_then_it_names_all_options(application: Application) -> None:
    done = application.run("--help")

    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--database", "--batch-size", "--fresh", "FILE_OR_FOLDER"))
