"""Which statements of a conversation with a database make something durable."""

from __future__ import annotations

_WRITING = ("INSERT", "UPDATE", "DELETE", "WITH")


class Conversation:
    """The statements of one connection, in their order."""

    def __init__(self) -> None:
        self._is_open = False
        self._is_implicit = False

    def commits(self, sql: str) -> bool:
        """Whether this statement, the next one, is a COMMIT or a write that is a transaction of its own."""
        words = sql.split(maxsplit=2)
        word = words[0].upper() if words else ""
        if word == "SET":  # which is how a connection of PyMySQL begins: SET AUTOCOMMIT = 0
            self._is_implicit = sql.replace(" ", "").upper() == "SETAUTOCOMMIT=0" or (
                self._is_implicit and "AUTOCOMMIT" not in sql.upper()
            )
        commits = word == "COMMIT" or (not self._is_open and not self._is_implicit and word in _WRITING)
        self._is_open = word in ("BEGIN", "START") or (self._is_open and word not in ("COMMIT", "ROLLBACK"))
        return commits
