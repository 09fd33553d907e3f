"""What an operation returns, and how that is stored: JSON, or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..errors import PayloadError, SerializationError, SpecError
from ..serializer import decode, encode
from ..spec import shown

#: The largest result as stored, in bytes; what databases take in one statement by default is 16 MiB.
MAX_BYTES = 15 * 1_048_576
BINARY = "application/octet-stream"
#: Characters that take two bytes in a statement of some driver.
_DOUBLED = ("\\", '"', "'")
#: Deeper than data may be: a result is no stranger's.
_DEEPEST = 200
_WORD = r"[\w!#$&^.+-]+"
_MEDIA = re.compile(rf"{_WORD}/{_WORD}(\s*;\s*{_WORD}=({_WORD}|\"[ !#-\[\]-~]*\"))*", re.ASCII)


@dataclass(frozen=True)
class File:
    """A result that is no JSON: a document, a picture.

    Arguments:
        content: its bytes; may be empty.
        media_type: such as "application/pdf" or "text/csv; charset=utf-8", in ASCII.
        name: under which a browser saves it; None: it has none.

    Raises :class:`SpecError`.
    """

    content: bytes
    media_type: str = BINARY
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, bytes):
            raise SpecError(f"the content of a File is bytes, not {shown(self.content)}")
        if not isinstance(self.media_type, str) or len(self.media_type) > 200 or not _MEDIA.fullmatch(self.media_type):
            raise SpecError(f"media_type of a File is a text such as 'application/pdf', not {shown(self.media_type)}")
        name = self.name
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()):
            raise SpecError(f"name of a File is a text of 1 to 200 characters in one line, not {shown(name)}")


class NoResult(SerializationError):
    """What an operation returned cannot be stored; executed again, it would return the like."""

    unrecoverable = True


def plain(value: Any) -> Any:
    """A result as all callers get it: JSON, or a :class:`File`.

    Bytes become a file, and URL-safe base64 where they stand inside something; numbers that JSON does not have (NaN
    and the infinities) become None. Raises :class:`NoResult`.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return File(bytes(value))
    if isinstance(value, File):
        return value
    try:
        found = to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")
        # Models follow their own settings; what is plain already follows ours.
        return to_jsonable_python(found, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NoResult(f"the result is no JSON: {(str(error).splitlines() or [''])[0]}") from error


def encoded(value: Any, max_bytes: int = MAX_BYTES) -> str:
    """A result of :func:`plain` as stored. Raises :class:`NoResult`."""
    file = isinstance(value, File)
    kept = {"content": value.content, "media_type": value.media_type, "name": value.name} if file else value
    try:
        text = encode({"file" if file else "value": kept}, where="result", max_bytes=max_bytes, max_depth=_DEEPEST)
    except SerializationError as error:
        raise NoResult(f"the result cannot be stored: {error}") from error
    size = len(text.encode()) + sum(map(text.count, _DOUBLED))
    if size > max_bytes:
        raise NoResult(
            f"the result cannot be stored: result takes {size} bytes in a statement, but at most {max_bytes} can be "
            "stored; return a File, or keep the data elsewhere and return a reference to them"
        )
    return text


def decoded(text: str | None) -> Any:
    """What :func:`encoded` was given. Raises :class:`PayloadError`."""
    if text is None:
        return None
    stored = decode(text)
    if isinstance(stored, dict) and stored.keys() == {"value"}:
        return stored["value"]
    try:
        [(key, file)] = stored.items()
        if key == "file":
            return File(**file)
    except (AttributeError, TypeError, ValueError):
        pass
    raise PayloadError("the stored result is none of ours: it was damaged or written by something else")
