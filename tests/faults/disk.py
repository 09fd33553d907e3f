"""A disk under a folder whose power can be cut, that can be full, read-only, or fail to sync (see ``platter.py``).

``kill -9`` does not test what a power cut costs: the kernel keeps what was written and not synced. This disk forgets
it.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


class Disk:
    """A disk, mounted at a folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._process = process

    def cut(self) -> None:
        """The power goes: from this moment on everything fails. To be followed by the kill of all who use the disk."""
        self._tell("cut")

    def boot(self, torn: int | None = None) -> None:
        """The power is back, and what was not synced is forgotten, or ``torn`` (see :meth:`Platter.cut`)."""
        self._tell(f"boot {-1 if torn is None else torn}")

    def settle(self) -> None:
        """Keep all that is there, as if it had been there for long: installing a server is not what is tested."""
        self._tell("settle")

    def fill(self, room: int = 0) -> None:
        """Be full after so many bytes more."""
        self._tell(f"room {room}")

    def refuse_writes(self) -> None:
        """As a file system that was mounted read-only after an error."""
        self._tell("read-only")

    def fail_to_sync(self) -> None:
        """EIO at every fsync."""
        self._tell("fail")

    def heal(self) -> None:
        """Do as a disk should."""
        self._tell("heal")

    @property
    def syncs(self) -> int:
        """How often it was asked to sync so far."""
        return int(self._tell("count"))

    def _tell(self, command: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the disk has ended at {command!r}"
        return answer


@contextmanager
def mounted(folder: Path, kind: str = "fuse") -> Iterator[Disk]:
    """A disk at an empty folder, as a file system of that kind; skips the test where nobody may mount one."""
    if reason := _missing():
        pytest.skip(reason)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.fuse", str(folder), kind],
        cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        said = process.stdout.readline()
        # Containers often show /dev/fuse and forbid to mount. Whatever else goes wrong is a failure.
        if said.startswith((f"! {errno.EPERM} ", f"! {errno.EACCES} ")):
            pytest.skip("this container may not mount, so that no disk can lose its power")
        assert said == "mounted\n", said
        yield Disk(folder, process)
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


class SmallDisk:
    """A small file system in memory, for servers: quicker than a :class:`Disk`, and all it can be is full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Have no room."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def heal(self) -> None:
        """Have room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk at an empty folder; skips the test where nobody may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"mode=755,size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount a small disk here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _missing() -> str:
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse, so that no disk can lose its power"
    return "" if os.geteuid() == 0 else "only root may mount a disk that can lose its power"
