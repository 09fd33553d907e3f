"""A platter as a file system: answers the kernel's questions on /dev/fuse (linux/fuse.h), with no library between.

Run as a process of its own, so that whoever waits for the disk never waits for itself:
``python -m tests.faults.fuse FOLDER fuse``. It takes one command a line, and answers with a line (see ``disk.py``).
When its input ends it unmounts and ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import struct
import sys
from collections.abc import Callable

from tests.faults.platter import ROOT, Platter

_HEADER = struct.Struct("<IIQQIIII")
_ANSWER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_SETATTR = struct.Struct("<IIQQQQQQIIIIIIII")
_MAX_WRITE = 128 * 1024
#: Nobody else changes the files, so the kernel may believe what it knows (seconds), and keep pages it has read.
_FOR_LONG = 3600
_KEEP_CACHE = 2
_BIG_WRITES = 1 << 5
_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class FileSystem:
    """Mounts a platter at a folder."""

    def __init__(self, folder: str, kind: str) -> None:
        self._folder = folder.encode()
        self._kind = kind.encode()
        self._platter = Platter()
        self._is_dead = False
        self._kernel = self._mount()
        self._answers: dict[int, Callable[[int, bytes, int, int], bytes]] = {
            1: self._lookup, 3: self._getattr, 4: self._setattr, 8: self._mknod, 9: self._mkdir, 10: self._unlink,
            11: self._unlink, 12: self._rename, 13: self._link, 14: self._open, 15: self._read, 16: self._write,
            17: self._statfs, 18: self._nothing, 20: self._fsync, 25: self._nothing, 26: self._init,
            27: self._open, 28: self._readdir, 29: self._nothing, 30: self._fsync, 35: self._create,
            45: self._rename2,
        }  # fmt: skip

    def serve(self) -> None:
        """Answer the kernel and the commands until these end."""
        commands = sys.stdin.fileno()
        while True:
            ready, _, _ = select.select([self._kernel, commands], [], [])
            if commands in ready:
                line = sys.stdin.readline()
                if not line:
                    break
                print(self._obey(*line.split()), flush=True)
            elif self._kernel in ready:
                self._answer(os.read(self._kernel, _MAX_WRITE + 8192))
        self._unmount()

    def _obey(self, command: str, number: str = "0") -> str:
        platter = self._platter
        if command == "cut":
            self._is_dead = True
        elif command == "boot":
            self._unmount()
            platter.cut(int(number) if int(number) >= 0 else None)
            self._is_dead = False
            self._kernel = self._mount()
        elif command == "settle":
            platter.settle()
        elif command == "room":
            platter.capacity = platter.used + int(number)
        elif command == "read-only":
            platter.is_read_only = True
        elif command == "fail":
            platter.fails_to_sync = True
        elif command == "heal":
            platter.heal()
        return str(platter.syncs)

    def _mount(self) -> int:
        kernel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={kernel},rootmode=40777,user_id=0,group_id=0,allow_other,default_permissions"
        if _libc.mount(b"forgetful", self._folder, self._kind, 0, options.encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return kernel

    def _unmount(self) -> None:
        _libc.umount2(self._folder, _DETACH)
        os.close(self._kernel)

    def _answer(self, request: bytes) -> None:
        _length, code, unique, node, uid, gid, _pid, _ = _HEADER.unpack_from(request)
        if code in (2, 36, 38, 42):  # forget, interrupt, destroy, batch forget: nobody waits for an answer
            return
        body, error = b"", 0
        try:
            if self._is_dead and code != 26:
                raise OSError(errno.EIO, "the power is gone")
            if code not in self._answers:
                raise OSError(errno.ENOSYS, "not known")
            body = self._answers[code](node, request[_HEADER.size :], uid, gid)
        except OSError as problem:
            error = problem.errno or errno.EIO
        except KeyError:
            error = errno.ENOENT
        try:
            os.write(self._kernel, _ANSWER.pack(_ANSWER.size + len(body), -error, unique) + body)
        except FileNotFoundError:
            """Whoever asked was interrupted meanwhile."""

    # --- one answer each: (node, arguments, uid, gid) ---

    def _init(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _major, _minor, read_ahead, flags = struct.unpack_from("<IIII", body)
        return struct.pack(
            "<IIIIHHIIHHI28x", 7, 31, read_ahead, flags & _BIG_WRITES, 12, 9, _MAX_WRITE, 1, 0, 0, 0
        )  # fmt: skip

    def _nothing(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return b""

    def _lookup(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return self._entry(self._platter.find(node, body.rstrip(b"\0")))

    def _getattr(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return struct.pack("<QII", _FOR_LONG, 0, 0) + self._attributes(node)

    def _setattr(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        valid, _, _, size, *_, mode, _, new_uid, new_gid, _ = _SETATTR.unpack_from(body)
        one = self._platter.nodes[node]
        if valid & 1:
            one.mode = stat.S_IFMT(one.mode) | stat.S_IMODE(mode)
        if valid & 2:
            one.uid = new_uid
        if valid & 4:
            one.gid = new_gid
        if valid & 8:
            self._platter.truncate(node, size)
        return self._getattr(node, b"", uid, gid)

    def _mknod(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        mode = struct.unpack_from("<I", body)[0]
        return self._entry(self._platter.make(node, body[16:].rstrip(b"\0"), mode, uid, gid))

    def _mkdir(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        mode = stat.S_IFDIR | struct.unpack_from("<I", body)[0]
        return self._entry(self._platter.make(node, body[8:].rstrip(b"\0"), mode, uid, gid))

    def _create(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        mode = stat.S_IFREG | stat.S_IMODE(struct.unpack_from("<II", body)[1])
        made = self._platter.make(node, body[16:].rstrip(b"\0"), mode, uid, gid)
        return self._entry(made) + self._open(made, b"", uid, gid)

    def _unlink(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        self._platter.remove(node, body.rstrip(b"\0"))
        return b""

    def _rename(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (target,) = struct.unpack_from("<Q", body)
        old, new, _ = body[8:].split(b"\0", 2)
        self._platter.rename(node, old, target, new, replaces=True)
        return b""

    def _rename2(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        target, flags = struct.unpack_from("<QI", body)
        if flags & ~1:
            raise OSError(errno.EINVAL, "neither an exchange nor a whiteout")
        old, new, _ = body[16:].split(b"\0", 2)
        self._platter.rename(node, old, target, new, replaces=not flags)
        return b""

    def _link(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        (number,) = struct.unpack_from("<Q", body)
        self._platter.link(number, node, body[8:].rstrip(b"\0"))
        return self._entry(number)

    def _open(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        return struct.pack("<QII", 0, _KEEP_CACHE, 0)

    def _read(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, place, size = struct.unpack_from("<QQI", body)
        return bytes(self._platter.nodes[node].content[place : place + size])

    def _write(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, place, size = struct.unpack_from("<QQI", body)
        self._platter.write(node, place, body[40 : 40 + size])
        return struct.pack("<II", size, 0)

    def _fsync(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        self._platter.sync(node)
        return b""

    def _readdir(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        _, place, size = struct.unpack_from("<QQI", body)
        answer = b""
        entries = [(b".", node), (b"..", ROOT), *self._platter.nodes[node].entries.items()]
        for index, (name, number) in enumerate(entries[place:], start=place + 1):
            kind = stat.S_IFMT(self._platter.nodes[number].mode) >> 12
            entry = struct.pack("<QQII", number, index, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer

    def _statfs(self, node: int, body: bytes, uid: int, gid: int) -> bytes:
        free = max(0, self._platter.capacity - self._platter.used) // 4096
        return struct.pack("<QQQQQIIII24x", self._platter.capacity // 4096, free, free, 1 << 20, 1 << 20,
                           4096, 255, 4096, 0)  # fmt: skip

    def _entry(self, number: int) -> bytes:
        return struct.pack("<QQQQII", number, 0, _FOR_LONG, _FOR_LONG, 0, 0) + self._attributes(number)

    def _attributes(self, number: int) -> bytes:
        node = self._platter.nodes[number]
        size = len(node.content)
        return _ATTRIBUTES.pack(number, size, -(-size // 512), 0, 0, 0, 0, 0, 0, node.mode, node.links, node.uid,
                                node.gid, 0, 4096, 0)  # fmt: skip


if __name__ == "__main__":
    try:
        system = FileSystem(*sys.argv[1:3])
    except OSError as problem:
        print(f"! {problem.errno} {problem.strerror}", flush=True)
        sys.exit(1)
    print("mounted", flush=True)
    system.serve()
