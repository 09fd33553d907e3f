"""What an operation returns, and how that is stored: JSON, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..errors import PayloadError, SerializationError, SpecError
from ..serializer import decode, encode
from ..spec import shown

#: The largest result as stored, in bytes; what databases take in one statement by default is 16 MiB.
MAX_BYTES = 15 * 1_048_576
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class File:
    """A result that is no JSON: a document, a picture.

    Arguments:
        content: its bytes.
        media_type: such as "application/pdf".
        name: under which a browser saves it.

    Raises :class:`SpecError`.
    """

    content: bytes
    media_type: str = BINARY
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, bytes):
            raise SpecError(f"the content of a File is bytes, not {shown(self.content)}")
        for what, text in (("media_type", self.media_type), ("name", self.name or "")):
            if not isinstance(text, str) or not text.isprintable() or len(text) > 200:
                raise SpecError(f"{what} of a File is a short text in one line, not {shown(text)}")


class ResultError(SerializationError):
    """What an operation returned cannot be stored; executed again, it would return the like."""

    unrecoverable = True


def plain(value: Any) -> Any:
    """A result as all callers get it: JSON, or a :class:`File`. Raises :class:`ResultError`."""
    if isinstance(value, bytes):
        return File(value)
    if isinstance(value, File):
        return value
    try:
        return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError) as error:
        raise ResultError(f"the result is no JSON: {error}") from error


def encoded(value: Any, max_bytes: int = MAX_BYTES) -> str:
    """A result of :func:`plain` as stored. Raises :class:`ResultError`."""
    file = isinstance(value, File)
    kept = {"content": value.content, "media_type": value.media_type, "name": value.name} if file else value
    try:
        return encode({"file" if file else "value": kept}, where="result", max_bytes=max_bytes)
    except SerializationError as error:
        raise ResultError(f"the result cannot be stored: {error}") from error


def decoded(text: str | None) -> Any:
    """What :func:`encoded` was given. Raises :class:`PayloadError`."""
    if text is None:
        return None
    stored = decode(text)
    if not isinstance(stored, dict) or stored.keys() not in ({"value"}, {"file"}):
        raise PayloadError("the stored result is none of ours: it was damaged or written by something else")
    return File(**stored["file"]) if "file" in stored else stored["value"]
