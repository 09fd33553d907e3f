"""What a disk holds, and what it forgets when the power goes: the model behind ``fuse.py``, without any system call.

What is written can be read at once, but it survives a cut only when it was synced, as behind a page cache. The names in
folders are kept like the journals of ext4 and XFS keep them: in order, so that syncing anything keeps every earlier
change of names; a file that has only its name comes back empty.
"""

from __future__ import annotations

import errno
import random
import stat
from dataclasses import dataclass, field

ROOT = 1
#: A disk writes whole sectors: a torn write ends at the border of one.
SECTOR = 512


@dataclass
class Node:
    """A file, a folder, a socket."""

    mode: int
    uid: int
    gid: int
    links: int = 1
    content: bytearray = field(default_factory=bytearray)
    #: What is certainly on the disk of the content, and the writes since: (place, bytes), (length, None) if cut short.
    kept: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    entries: dict[bytes, int] = field(default_factory=dict)
    kept_entries: dict[bytes, int] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether it holds names."""
        return stat.S_ISDIR(self.mode)


class Platter:
    """A disk; errors are ``OSError`` with the number that a process shall see."""

    def __init__(self) -> None:
        self.nodes = {ROOT: Node(stat.S_IFDIR | 0o777, 0, 0)}
        self._next = ROOT + 1
        self._renamed: set[int] = set()
        #: Bytes in all files; above ``capacity`` the disk is full.
        self.used = 0
        self.capacity = 1 << 40
        self.is_read_only = False
        #: Syncing fails, and what should have been synced never gets to the disk: the page cache calls it clean.
        self.fails_to_sync = False
        #: How often it was asked to sync.
        self.syncs = 0

    def heal(self) -> None:
        """Have room, take writes, sync again."""
        self.capacity, self.is_read_only, self.fails_to_sync = 1 << 40, False, False

    # --- contents ---

    def write(self, number: int, place: int, data: bytes) -> None:
        """Write into a file, behind its end too."""
        self._check_writable()
        node = self.nodes[number]
        growth = max(0, place + len(data) - len(node.content))
        self._check_room(growth)
        _apply(node.content, place, data)
        node.pending.append((place, data))
        self.used += growth

    def truncate(self, number: int, length: int) -> None:
        """Make a file longer or shorter."""
        self._check_writable()
        node = self.nodes[number]
        growth = length - len(node.content)
        self._check_room(growth)
        _apply(node.content, length, None)
        node.pending.append((length, None))
        self.used += growth

    def sync(self, number: int) -> None:
        """Keep a file, and all names so far."""
        self.syncs += 1
        node = self.nodes[number]
        pending, node.pending = node.pending, []
        if self.fails_to_sync:
            raise OSError(errno.EIO, "cannot sync")
        for place, data in pending:
            _apply(node.kept, place, data)
        for folder in self._renamed:
            self.nodes[folder].kept_entries = dict(self.nodes[folder].entries)
        self._renamed.clear()

    def settle(self) -> None:
        """Keep all that is there, as if it had been there for long."""
        for number in list(self.nodes):
            self.sync(number)

    def cut(self, torn: int | None) -> None:
        """Forget what was not synced.

        Arguments:
            torn: None: all of it. A number, for the dice: of each file any writes may have reached the disk, in any
                order, the last sectors of some missing.
        """
        dice = random.Random(torn)
        found, ahead = {ROOT}, [ROOT]
        while ahead:
            node = self.nodes[ahead.pop()]
            node.entries = dict(node.kept_entries)
            new = set(node.entries.values()) - found
            found |= new
            ahead += new
            for place, data in node.pending if torn is not None else ():
                if data is None:
                    _apply(node.kept, place, None)
                elif dice.random() < 0.5:
                    reached = dice.randrange(len(data) // SECTOR + 1) * SECTOR if dice.random() < 0.5 else len(data)
                    _apply(node.kept, place, data[:reached])
            node.pending.clear()
            node.content = bytearray(node.kept)
        self.nodes = {number: node for number, node in self.nodes.items() if number in found}
        self._renamed.clear()
        self.used = sum(len(node.content) for node in self.nodes.values())

    # --- names ---

    def find(self, folder: int, name: bytes) -> int:
        """What has a name."""
        try:
            return self.nodes[folder].entries[name]
        except KeyError:
            raise OSError(errno.ENOENT, "no such name") from None

    def make(self, folder: int, name: bytes, mode: int, uid: int, gid: int) -> int:
        """A new file, folder or socket."""
        self._check_writable()
        if name in self.nodes[folder].entries:
            raise OSError(errno.EEXIST, "exists")
        number, self._next = self._next, self._next + 1
        self.nodes[number] = Node(mode, uid, gid)
        self._enter(folder, name, number)
        return number

    def link(self, number: int, folder: int, name: bytes) -> None:
        """A second name."""
        self._check_writable()
        if name in self.nodes[folder].entries:
            raise OSError(errno.EEXIST, "exists")
        self.nodes[number].links += 1
        self._enter(folder, name, number)

    def remove(self, folder: int, name: bytes) -> None:
        """Take a name away; who has the file open keeps it."""
        self._check_writable()
        node = self.nodes[self.find(folder, name)]
        if node.entries:
            raise OSError(errno.ENOTEMPTY, "not empty")
        node.links -= 1
        if not node.links and not node.is_folder:
            self.used -= len(node.content)
        del self.nodes[folder].entries[name]
        self._renamed.add(folder)

    def rename(self, folder: int, name: bytes, new_folder: int, new_name: bytes, *, replaces: bool) -> None:
        """Give another name; what had it is gone."""
        self._check_writable()
        number = self.find(folder, name)
        if new_name in self.nodes[new_folder].entries:
            if not replaces:
                raise OSError(errno.EEXIST, "exists")
            self.remove(new_folder, new_name)
        del self.nodes[folder].entries[name]
        self._renamed.add(folder)
        self._enter(new_folder, new_name, number)

    def _enter(self, folder: int, name: bytes, number: int) -> None:
        self.nodes[folder].entries[name] = number
        self._renamed.add(folder)

    def _check_writable(self) -> None:
        if self.is_read_only:
            raise OSError(errno.EROFS, "read-only")

    def _check_room(self, growth: int) -> None:
        if growth > 0 and self.used + growth > self.capacity:
            raise OSError(errno.ENOSPC, "full")


def _apply(content: bytearray, place: int, data: bytes | None) -> None:
    end = place if data is None else place + len(data)
    if end > len(content):
        content.extend(bytes(end - len(content)))
    if data is None:
        del content[place:]
    else:
        content[place:end] = data
