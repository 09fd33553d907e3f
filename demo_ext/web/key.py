"""The key that signs sessions: made once and kept in a file, so that a restart does not sign everybody out."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sqlalchemy import URL


def key_file(url: URL) -> Path:
    """Beside the database where that is a file, else in the current folder."""
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(f"{url.database if is_file else 'demo.db'}.key").absolute()


def kept_key(path: Path) -> str:
    """The key in the file, which is made if need be and only its owner may read."""
    if not _is_private(path):
        _make(path)
    return path.read_text(encoding="ascii")


def _is_private(path: Path) -> bool:
    """Whether the file is there and nobody else can have read it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return status.st_mode == 0o100600 and status.st_uid == os.getuid() and status.st_size > 0


def _make(path: Path) -> None:
    # Written aside and moved to its place, so that nobody ever finds half a key.
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    aside.replace(path)
