"""Reading CSV files: layouts, records, batches, and files that cannot be imported."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_ext.files import MAX_LINE, FileError, batches, check_source, csv_files, look_at, records


def written(folder: Path, content: bytes | str, name: str = "places.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def content(path: str) -> list[list[str]]:
    layout = look_at(path)
    return [record.fields for record in records(layout, layout.start, layout.line) if record.fields]


# --- layouts ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_given_any_common_form_of_csv_when_read_then_header_and_fields_are_found(
    tmp_path: Path, delimiter: str, bom: bytes, end: str
) -> None:
    lines = [delimiter.join(fields) for fields in (('"name"', "population"), ("Köln", "1"), ('"a,b;c\td"', "2"))]
    path = written(tmp_path, bom + end.join(lines).encode())

    layout = look_at(path)

    assert (layout.header, layout.delimiter, layout.encoding) == (["name", "population"], delimiter, "utf-8")
    assert content(path) == [["Köln", "1"], ["a,b;c\td", "2"]]


@pytest.mark.parametrize("distance", range(4))
def test_given_a_character_across_the_border_of_two_chunks_when_looked_at_then_it_is_utf8(
    tmp_path: Path, distance: int
) -> None:
    path = written(tmp_path, "name\n".ljust(65536 - distance, "x") + "😀\n")

    assert look_at(path).encoding == "utf-8"


@pytest.mark.parametrize("tail", [b"K\xf6ln\n", b"K\xf6", b"K\xc3"])
def test_given_a_byte_that_is_not_utf8_far_behind_when_looked_at_then_it_is_latin_1(
    tmp_path: Path, tail: bytes
) -> None:
    path = written(tmp_path, b"name\n" + b"Bonn\n" * 40_000 + tail)

    assert look_at(path).encoding == "latin-1"
    assert content(path)[-1] == [tail.decode("latin-1").strip()]


# --- records ---


def test_given_blank_lines_and_quoted_line_ends_when_read_then_records_know_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path, '\n\nname,country\n\n"two\nlines",A\n,\n\nlast,B')
    layout = look_at(path)

    found = [(record.line, record.fields) for record in records(layout, layout.start, layout.line) if record.fields]

    assert found == [(5, ["two\nlines", "A"]), (9, ["last", "B"])]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x" * 200_000 + ",A\n", "field larger than field limit"),
        ("x" * (2 * MAX_LINE + 5) + ",A\n", f"longer than {MAX_LINE} bytes"),
        ('"a"b,A\n', "expected after"),
    ],
    ids=["huge field", "huge line", "text behind a quote"],
)
def test_given_a_row_that_cannot_be_read_when_read_then_the_ones_around_it_are_kept(
    tmp_path: Path, bad: str, reason: str
) -> None:
    path = written(tmp_path, "name,country\nfirst,A\n" + bad + "last,B\n")
    layout = look_at(path)

    first, failed, last = records(layout, layout.start, layout.line)

    assert (first.fields, last.fields, last.line) == (["first", "A"], ["last", "B"], 4)
    assert failed.line == 3
    assert reason in failed.error


def test_given_a_quote_that_is_never_closed_when_read_then_it_is_an_error_and_not_a_value(tmp_path: Path) -> None:
    path = written(tmp_path, 'name,country\nfirst,A\n"lost,B\nand,C\n')
    layout = look_at(path)

    first, lost = records(layout, layout.start, layout.line)

    assert first.fields == ["first", "A"]
    assert (lost.fields, lost.line, "unexpected end" in lost.error) == ([], 3, True)


# --- batches ---

text = st.text(st.sampled_from('ab ,;\t"\n\r ö😀'), max_size=6)


@given(rows=st.lists(st.tuples(text, text), max_size=12), size=st.integers(1, 5))
def test_given_any_content_when_cut_into_batches_then_together_they_hold_every_record_once(
    rows: list[tuple[str, str]], size: int
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("name", "country"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        layout = look_at(written(Path(folder), buffer.getvalue()))
        whole = list(records(layout, layout.start, layout.line))

        cut = list(batches(layout, layout.start, layout.line, size))

        parts = [list(records(layout, batch.start, batch.line, batch.end)) for batch in cut]
        assert [record for part in parts for record in part] == whole
        assert [len(part) for part in parts] == [batch.rows for batch in cut]
        assert all(len(part) == size for part in parts[:-1])
        expected = [list(row) for row in rows if any(field.strip() for field in row)]
        assert [record.fields for record in whole if record.fields] == expected


def test_given_a_file_that_is_already_cut_to_its_end_when_cut_further_then_there_is_nothing(tmp_path: Path) -> None:
    layout = look_at(written(tmp_path, "name\na\nb\n"))
    (batch,) = batches(layout, layout.start, layout.line, 2)

    assert list(batches(layout, batch.end, batch.next_line, 2)) == []


def test_given_a_file_larger_than_the_memory_allowed_when_cut_then_it_is_streamed(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    path = written(tmp_path, "name,country\n" + "Somewhere far away,Nowhere\n" * 100_000)
    tracemalloc.start()
    try:
        layout = look_at(path)
        number = sum(batch.rows for batch in batches(layout, layout.start, layout.line, 500))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert number == 100_000
    assert peak < 1 << 20 < Path(path).stat().st_size


# --- folders ---


def test_given_a_folder_when_searched_then_its_csv_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "deeper.csv").mkdir()
    suffixes = ["csv", "TSV", "txt", "md"]
    names = [f"{'deeper.csv/' * (n % 2)}{n * 37 % 100:02}.{suffixes[n // 2 % 4]}" for n in range(100)]
    for name in names:
        (tmp_path / name).touch()

    found = [str(Path(path).relative_to(tmp_path)) for path in csv_files(str(tmp_path))]

    assert found == sorted(name for name in names if not name.endswith(".md"))


# --- files that cannot be imported ---


@pytest.mark.parametrize(
    ("bytes_", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n \n", "is empty"),
        (b"12,Berlin\n13,Bonn\n", "no header with a column for the name"),
        (b'"name,country\nBerlin,DE\n', "no readable header"),
        (b"name\rBerlin\rBonn\r", "no readable header"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is a binary file"),
        (b"name\n" + b"x\n" * 50_000 + b"\0", "is a binary file"),
        ("name\nKöln\n".encode("utf-16"), "is written in UTF-16: save it as UTF-8"),
    ],
)
def test_given_a_file_that_is_no_csv_when_named_then_one_sentence_says_so(
    tmp_path: Path, bytes_: bytes, sentence: str
) -> None:
    path = written(tmp_path, bytes_)

    with pytest.raises(FileError, match=sentence) as raised:
        check_source(path)

    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


def test_given_nothing_there_when_named_then_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        check_source(str(tmp_path / "missing.csv"))
    with pytest.raises(FileError, match="holds no file that ends in"):
        check_source(str(tmp_path))


def change_the_size(path: Path) -> None:
    path.write_text("name\nx\nyy\n")


def change_the_time(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(change_the_size, "was changed"), (change_the_time, "was changed"), (Path.unlink, "cannot be read any more")],
)
def test_given_a_file_that_is_cut_when_it_changes_then_its_batches_are_refused(
    tmp_path: Path, change: object, sentence: str
) -> None:
    path = written(tmp_path, "name\nx\ny\n")
    layout = look_at(path)
    assert callable(change)

    change(Path(path))

    with pytest.raises(FileError, match=sentence):
        list(records(layout, layout.start, layout.line))
