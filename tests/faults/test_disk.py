"""The disk that can lose its power does what it says, or nothing that is tested on it would mean anything."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from tests.faults.disk import Disk
from tests.faults.platter import ROOT, SECTOR, Platter


def write(path: Path, data: bytes, *, is_synced: bool) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        if is_synced:
            os.fsync(file.fileno())


def cut(disk: Disk) -> None:
    disk.cut()
    disk.boot()


def test_given_a_cut_then_what_was_synced_is_there_and_the_rest_is_not(disk: Disk) -> None:
    (disk.folder / "sub").mkdir()
    file, late = disk.folder / "sub" / "file", disk.folder / "late"
    write(file, b"synced", is_synced=True)
    write(file, b", not synced", is_synced=False)
    write(late, b"not synced", is_synced=False)
    assert file.read_bytes() == b"synced, not synced"

    cut(disk)

    assert file.read_bytes() == b"synced"
    assert not late.exists()


def test_given_a_cut_then_names_are_as_they_were_at_the_last_sync_of_anything(disk: Disk) -> None:
    old, new, other = disk.folder / "old", disk.folder / "new", disk.folder / "other"
    write(old, b"x", is_synced=True)
    old.rename(new)
    cut(disk)
    assert [path.name for path in disk.folder.iterdir()] == ["old"]

    old.rename(new)
    write(other, b"y", is_synced=True)
    new.unlink()
    cut(disk)

    assert sorted(path.name for path in disk.folder.iterdir()) == ["new", "other"]
    assert new.read_bytes() == b"x"


def test_given_the_power_is_gone_then_nothing_works_before_it_is_back(disk: Disk) -> None:
    write(disk.folder / "file", b"x", is_synced=True)
    disk.cut()
    for touch in ((disk.folder / "file").write_bytes, (disk.folder / "another").write_bytes):
        with pytest.raises(OSError) as caught:
            touch(b"x")
        assert caught.value.errno == errno.EIO


def test_given_two_that_map_a_file_then_each_sees_what_the_other_writes(disk: Disk) -> None:
    path = disk.folder / "shared"
    path.write_bytes(bytes(4096))
    with (
        path.open("r+b") as one,
        path.open("r+b") as two,
        mmap.mmap(one.fileno(), 4096) as first,
        mmap.mmap(two.fileno(), 4096) as second,
    ):
        first[:5] = b"hello"
        assert second[:5] == b"hello"


@pytest.mark.parametrize(
    ("fault", "number"), [("full", errno.ENOSPC), ("read-only", errno.EROFS), ("sync", errno.EIO)], ids=str
)
def test_given_a_fault_then_the_writer_is_told_until_it_is_healed(disk: Disk, fault: str, number: int) -> None:
    {"full": lambda: disk.fill(100), "read-only": disk.refuse_writes, "sync": disk.fail_to_sync}[fault]()

    with pytest.raises(OSError) as caught:
        write(disk.folder / "file", bytes(200), is_synced=True)

    assert caught.value.errno == number
    disk.heal()
    write(disk.folder / "another", bytes(200), is_synced=True)


def test_given_a_sync_that_failed_then_a_later_one_does_not_bring_back_what_it_lost(disk: Disk) -> None:
    file = disk.folder / "file"
    write(file, b"first", is_synced=True)
    disk.fail_to_sync()
    with pytest.raises(OSError):
        write(file, b"second", is_synced=True)
    disk.heal()
    write(file, b"third", is_synced=True)

    cut(disk)

    assert file.read_bytes() == b"first" + bytes(6) + b"third"


def test_torn_writes_are_there_in_part_by_whole_sectors() -> None:
    seen = set()
    for seed in range(100):
        platter = Platter()
        number = platter.make(ROOT, b"file", 0o100600, 0, 0)
        platter.sync(number)
        platter.write(number, 0, b"x" * 4 * SECTOR)
        platter.cut(seed)
        content = platter.nodes[number].content
        assert content == b"x" * len(content)
        seen.add(len(content) / SECTOR)

    assert seen == {0, 1, 2, 3, 4}
