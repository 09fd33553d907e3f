"""As much of what databases speak as it takes to see a statement go by, and the end of its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator


class Wire(ABC):
    """What goes by on one connection, in both directions; no TLS."""

    @abstractmethod
    def statements(self, data: bytes) -> list[str]:
        """The statements whose execution these bytes of the client (with those before) ask for."""

    @abstractmethod
    def expect_answer(self) -> None:
        """The next bytes of the server begin an answer."""

    @abstractmethod
    def ends_answer(self, data: bytes) -> bool:
        """Whether the answer is complete with these bytes: what was asked for has been done."""


class MariaDBWire(Wire):
    """Packets of a length, a number and a body; a new command has the number 0."""

    _COM_QUERY = 3

    def __init__(self) -> None:
        self._sent = bytearray()
        self._answered = bytearray()
        self._ends = 0
        self._is_first = True

    def statements(self, data: bytes) -> list[str]:
        """See :class:`Wire`."""
        self._sent += data
        return [
            body[1:].decode(errors="replace")
            for number, body in self._packets(self._sent)
            if number == 0 and body[:1] == bytes([self._COM_QUERY])
        ]

    def expect_answer(self) -> None:
        """See :class:`Wire`."""
        self._answered.clear()
        self._ends, self._is_first = 0, True

    def ends_answer(self, data: bytes) -> bool:
        """Done with OK or an error, or with the second EOF: after the columns, and after the rows."""
        self._answered += data
        for _number, body in self._packets(self._answered):
            if body[0] == 0xFF or (self._is_first and body[0] == 0x00):
                return True
            self._is_first = False
            self._ends += body[0] == 0xFE and len(body) < 9
        return self._ends >= 2

    @staticmethod
    def _packets(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
        while len(buffer) >= 4 and len(buffer) >= 4 + (length := int.from_bytes(buffer[:3], "little")):
            number, body = buffer[3], bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            yield number, body


class PostgreSQLWire(Wire):
    """Messages of a letter, a length and a body; the first ones of a client have no letter."""

    _ASKS_FOR_ENCRYPTION = (80_877_103, 80_877_104)

    def __init__(self) -> None:
        self._sent = bytearray()
        self._answered = bytearray()
        self._has_begun = False
        #: What prepared statements, and portals, were made of.
        self._prepared: dict[bytes, bytes] = {}
        self._bound: dict[bytes, bytes] = {}

    def statements(self, data: bytes) -> list[str]:
        """See :class:`Wire`."""
        self._sent += data
        while not self._has_begun and len(self._sent) >= 8:
            length = int.from_bytes(self._sent[:4], "big")
            if len(self._sent) < length:
                return []
            self._has_begun = int.from_bytes(self._sent[4:8], "big") not in self._ASKS_FOR_ENCRYPTION
            del self._sent[:length]
        found = [self._executed(letter, body) for letter, body in self._messages(self._sent)] if self._has_begun else []
        return [sql.decode(errors="replace") for sql in found if sql is not None]

    def _executed(self, letter: int, body: bytes) -> bytes | None:
        texts = body.split(b"\0")
        if letter == ord("P"):
            self._prepared[texts[0]] = texts[1]
        elif letter == ord("B"):
            self._bound[texts[0]] = self._prepared.get(texts[1], b"")
        elif letter == ord("E"):
            return self._bound.get(texts[0], b"")
        return texts[0] if letter == ord("Q") else None

    def expect_answer(self) -> None:
        """See :class:`Wire`."""
        self._answered.clear()

    def ends_answer(self, data: bytes) -> bool:
        """Done when the server is ready for the next one."""
        self._answered += data
        return any(letter == ord("Z") for letter, _body in self._messages(self._answered))

    @staticmethod
    def _messages(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
        while len(buffer) >= 5 and len(buffer) >= 1 + (length := int.from_bytes(buffer[1:5], "big")):
            letter, body = buffer[0], bytes(buffer[5 : 1 + length])
            del buffer[: 1 + length]
            yield letter, body


WIRES: dict[str, type[Wire]] = {"mariadb": MariaDBWire, "postgresql": PostgreSQLWire}
