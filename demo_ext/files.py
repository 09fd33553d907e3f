"""Reading CSV files record by record, with the byte at which each begins; no file is ever read as a whole."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from .columns import Columns

DELIMITERS = ",;\t"
SUFFIXES = (".csv", ".tsv", ".txt")
#: Longer lines are bad rows, so that a file without line ends does not fill the memory.
MAX_LINE = 1 << 20
_CHUNK = 1 << 16
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileError(Exception):
    """A file that cannot be imported, in one sentence."""


@dataclass(frozen=True)
class Layout:
    """How a file is to be read, and how it looked when that was found out. Travels in the arguments of tasks."""

    path: str
    size: int
    changed_ns: int
    encoding: str
    delimiter: str
    header: list[str]
    #: Where the records begin: byte and line.
    start: int
    line: int


@dataclass(frozen=True)
class Record:
    """One record and where it stands; ``error`` says why its fields could not be told apart."""

    fields: list[str]
    line: int
    #: The byte after the record, and the line after it.
    end: int
    next_line: int
    error: str = ""


class _Lines:
    """The lines of a file from some byte on, counted. (A generator would not survive the error it raises.)"""

    def __init__(self, file: BinaryIO, encoding: str, start: int, line: int) -> None:
        self._file = file
        self._encoding = encoding
        self.position = start
        self.line = line
        file.seek(start)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(MAX_LINE)
        if not raw:
            raise StopIteration
        self.position += len(raw)
        self.line += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            self._skip_the_rest()
            raise csv.Error(f"the line is longer than {MAX_LINE} bytes")
        return raw.decode(self._encoding)

    def _skip_the_rest(self) -> None:
        raw = b"-"
        while raw and not raw.endswith(b"\n"):
            raw = self._file.readline(MAX_LINE)
            self.position += len(raw)


# --- finding files ---


def csv_files(folder: str) -> Iterator[str]:
    """The CSV files below a folder, in the order of their names."""
    paths = (path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return iter(sorted(str(path) for path in paths))


def check_source(source: str) -> str:
    """The full path of a file or folder that the user named. Raises :class:`FileError`."""
    path = Path(source).absolute()
    if not path.exists():
        raise FileError(f"{source} does not exist: name a CSV file or a folder of them")
    if path.is_dir():
        if next(csv_files(str(path)), None) is None:
            raise FileError(f"the folder {source} holds no file that ends in {', '.join(SUFFIXES)}")
    else:
        look_at(str(path))
    return str(path)


# --- the layout of a file ---


def look_at(path: str) -> Layout:
    """Find out how a file is to be read. Raises :class:`FileError` when it cannot be imported."""
    try:
        with Path(path).open("rb") as file:
            return _layout(path, file)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error


def _layout(path: str, file: BinaryIO) -> Layout:
    encoding = _encoding(path, file)
    begin = 3 if _begins_with_bom(file) else 0
    delimiter = max(DELIMITERS, key=lambda delimiter: len(_header(file, encoding, delimiter, begin).fields))
    header = _header(file, encoding, delimiter, begin)
    if header.error:
        raise FileError(f"{path} has no readable header: {header.error}")
    if not header.fields:
        raise FileError(f"{path} is empty: it needs a line of column names and rows below it")
    if not Columns(header.fields).has_name:
        raise FileError(
            f"{path} has no header with a column for the name: its first line must hold column names, one of them "
            "name, city, place, title or label"
        )
    status = os.fstat(file.fileno())
    fields = [name.strip() for name in header.fields]
    return Layout(path, status.st_size, status.st_mtime_ns, encoding, delimiter, fields, header.end, header.next_line)


def _encoding(path: str, file: BinaryIO) -> str:
    """UTF-8 if the whole file is; else Latin-1, in which every byte is a character."""
    decoder, encoding = codecs.getincrementaldecoder("utf-8")(), "utf-8"
    file.seek(0)
    while chunk := file.read(_CHUNK):
        if chunk.startswith(_UTF16) and file.tell() == len(chunk):
            raise FileError(f"{path} is written in UTF-16: save it as UTF-8")
        if b"\0" in chunk:
            raise FileError(f"{path} is a binary file, not a CSV file")
        if encoding == "utf-8":
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                encoding = "latin-1"
    if encoding == "utf-8" and decoder.getstate()[0]:  # the file ends within a character
        encoding = "latin-1"
    return encoding


def _begins_with_bom(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(3) == codecs.BOM_UTF8


def _header(file: BinaryIO, encoding: str, delimiter: str, begin: int) -> Record:
    """The first record that is not blank."""
    found = (record for record in _records(file, encoding, delimiter, begin, 1) if record.fields or record.error)
    return next(found, Record([], 1, begin, 1))


# --- records ---


def records(layout: Layout, start: int, line: int, end: int | None = None) -> Iterator[Record]:
    """The records from byte ``start`` (where one must begin) up to byte ``end``.

    Raises :class:`FileError` when the file is not the one that was looked at.
    """
    try:
        file = Path(layout.path).open("rb")  # noqa: SIM115  (the block below closes it)
    except OSError as error:
        raise FileError(f"{layout.path} cannot be read any more: {error.strerror}") from error
    with file:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (layout.size, layout.changed_ns):
            raise FileError(f"{layout.path} was changed since its import began: start again with --fresh")
        stop = layout.size if end is None else end
        if start < stop:
            for record in _records(file, layout.encoding, layout.delimiter, start, line):
                yield record
                if record.end >= stop:
                    return


def _records(file: BinaryIO, encoding: str, delimiter: str, start: int, line: int) -> Iterator[Record]:
    lines = _Lines(file, encoding, start, line)
    # Strict: a quote that is never closed is an error, instead of swallowing the rest of the file in silence.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins, error, fields = lines.line, "", []
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as failure:  # the reader starts afresh with the next line
            error = f"cannot be told apart into fields: {failure}"
        if not any(field.strip() for field in fields):
            fields = []  # spreadsheets leave rows of nothing but delimiters
        yield Record(fields, begins, lines.position, lines.line, error)


# --- batches ---


@dataclass(frozen=True)
class Batch:
    """Where some rows stand in a file: bytes from ``start`` up to ``end``, the first of them on ``line``."""

    start: int
    line: int
    end: int
    next_line: int
    rows: int


def batches(layout: Layout, start: int, line: int, size: int) -> Iterator[Batch]:
    """Cut the file from ``start`` on into batches of ``size`` records, never within one."""
    remaining = records(layout, start, line)
    while chunk := list(islice(_ends(remaining), size)):
        end, next_line = chunk[-1]
        yield Batch(start, line, end, next_line, len(chunk))
        start, line = end, next_line


def _ends(remaining: Iterator[Record]) -> Iterator[tuple[int, int]]:
    return ((record.end, record.next_line) for record in remaining)
