"""What stands in the ``data`` column: a versioned envelope around a task or plain data, signed if asked.

The signature covers the purpose, the queue and the item's own uid, so that a row can be neither altered nor
moved to another queue nor copied over another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from itsdangerous import BadSignature, Signer

from .errors import PayloadError, PayloadTooNew, SerializationError, SpecError
from .serializer import decode, encode
from .spans import Trace, trace_in, with_trace
from .spec import TASK_PAYLOAD
from .task import Task

FORMAT = 1
MAX_BYTES = 1_048_576
_text = lru_cache(maxsize=1024)(json.JSONEncoder(ensure_ascii=False).encode)


class Codec:
    """Turns data into stored text and back.

    Arguments:
        secret_keys: signing keys, the newest last; empty: nothing is signed and signatures are not looked at.
        max_bytes: the largest stored text, in bytes of UTF-8.
    """

    def __init__(self, secret_keys: Sequence[str | bytes] = (), max_bytes: int = MAX_BYTES) -> None:
        if any(len(key) < 16 for key in secret_keys):
            raise SpecError("secret_key must have at least 16 characters; make one with secrets.token_hex(32)")
        self._keys = [key.encode() if isinstance(key, str) else key for key in secret_keys]
        self._max_bytes = max_bytes
        self._signer = lru_cache(maxsize=1024)(self._make_signer)

    @property
    def signs(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._keys)

    def pack(
        self, data: Any, queue_name: str, uid: str, *, where: str = "data", room: int = 0, trace: Trace | None = None
    ) -> str:
        """The stored text of ``data``, which messages call ``where``.

        Arguments:
            room: so many bytes more than usual may be stored; for what was within the limit, and is told more about.
            trace: the trace of whoever enqueues. It is stored beside the data, and does not count for the limit.

        Raises :class:`SerializationError` with the path to what cannot be stored.
        """
        most = self._max_bytes + room
        text = self._pack_task(data) if isinstance(data, Task) else self._pack_data(data, where, most)
        if len(text) * 4 > most and len(text.encode()) > most:
            raise SerializationError(
                f"the item has {len(text.encode())} bytes, more than the {self._max_bytes} that the service allows: "
                "store the bulk elsewhere and queue a reference to it"
            )
        if trace is not None:
            text = with_trace(text, trace)
        if not self._keys:
            return text
        return self._signer(queue_name).sign(f"{uid}|{text}").decode()

    def unpack(self, text: str, queue_name: str, uid: str, *, is_trace: bool = False) -> Any:
        """What :meth:`pack` was given. Raises :class:`PayloadError` on a damaged, altered or unsigned text.

        Arguments:
            is_trace: not the data is wanted, but the trace that stands beside it, or None.
        """
        body = self._verified(text, queue_name, uid) if self._keys else text
        if is_trace:
            return trace_in(body)
        envelope = decode(body)
        if not isinstance(envelope, dict) or type(envelope.get("v")) is not int or envelope["v"] < 1:
            raise PayloadError("the stored item is not an envelope of ours: it was written by something else")
        if envelope["v"] > FORMAT:
            raise PayloadTooNew(
                f"the stored item has format {envelope['v']}, this release reads up to {FORMAT}: "
                "it is left for a newer worker"
            )
        return _unpack_task(envelope) if "callback" in envelope else envelope.get("data")

    def _pack_task(self, task: Task) -> str:
        parts = [f'{{"v":{FORMAT},"callback":{_text(task.callback)}']
        title = str(task.title)
        if title:
            parts.append(f'"title":{encode(title, where="title", max_bytes=self._max_bytes)}')
        parts.append(f'"args":{encode(list(task.args), where="args", max_bytes=self._max_bytes)}')
        if task.kwargs:
            parts.append(f'"kwargs":{encode(task.kwargs, where="kwargs", max_bytes=self._max_bytes)}')
        if task.run_as is not None:
            parts.append(f'"run_as":{encode(dict(task.run_as), where="run_as", max_bytes=self._max_bytes)}')
        return ",".join(parts) + "}"

    def _pack_data(self, data: Any, where: str, most: int) -> str:
        return f'{{"v":{FORMAT},"data":{encode(data, where=where, max_bytes=most)}}}'

    def _verified(self, text: str, queue_name: str, uid: str) -> str:
        try:
            signed = self._signer(queue_name).unsign(text).decode()
        except (BadSignature, UnicodeError) as error:
            raise PayloadError(
                "the stored item carries no valid signature: it was altered, moved, or written without the secret key"
            ) from error
        owner, _, body = signed.partition("|")
        if owner != uid:
            raise PayloadError("the signature of the stored item belongs to another item: the row was copied")
        return body

    def _make_signer(self, queue_name: str) -> Signer:
        return Signer(
            self._keys, salt=f"taskqueue.item.{queue_name}", key_derivation="hmac", digest_method=hashlib.sha256
        )


def _unpack_task(envelope: dict[str, Any]) -> Task:
    callback, args = envelope["callback"], envelope.get("args", [])
    title, kwargs, run_as = envelope.get("title", ""), envelope.get("kwargs", {}), envelope.get("run_as")
    if not (isinstance(callback, str) and isinstance(args, list) and isinstance(title, str)
            and isinstance(kwargs, dict) and (run_as is None or isinstance(run_as, dict))):  # fmt: skip
        raise PayloadError(f"the stored {TASK_PAYLOAD} has fields of wrong types: it was damaged or written by others")
    return Task.stored(callback, tuple(args), title, kwargs, run_as)
