"""The login of coreBOS: a challenge, a proof that one has the access key, a session name. The server keeps nothing.

All of it is signed, each for one purpose and a limited time. The challenge does not come back with the proof, so it is
not random: it is signed out of the user's name and the minute. A session name holds the user's name and a fingerprint
of their access key, which is looked up again with every request: who changes the key ends all sessions of the user.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import current_app
from itsdangerous import BadData, Signer, URLSafeTimedSerializer

from ..errors import ConfigurationError
from ..operations import User
from ..spec import shown
from .identity import check_secret_key
from .webservice_envelope import MISSING, Refused

#: ``access_key(username)`` returns the user's access key; or that and their :class:`User` or id, where the id is not
#: the name; or None when nobody (any more) has that name.
AccessKey = Callable[[str], Any]
#: For how many seconds at least a challenge can be answered, as in coreBOS; it changes once a minute.
CHALLENGE_LIFETIME, _STEP = 300, 60
_CHALLENGE, _SESSION, _FINGERPRINT = (
    f"taskqueue.web.webservice.{name}" for name in ("challenge", "session", "fingerprint")
)
_LONGEST = 189
#: Clients of coreBOS look for them; no release of coreBOS is meant.
_VERSIONS = {"version": "0.22", "vtigerVersion": "5.5.0"}


class Sessions:
    """Challenges, logins and session names.

    Arguments:
        access_key: the hook.
        secret_key: signs what is handed out; None: the application's key, older ones being good still.
        lifetime: seconds for which a session name is good.
    """

    def __init__(self, access_key: AccessKey, secret_key: str | bytes | None, lifetime: float) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._lifetime = lifetime

    def challenge(self, username: Any) -> dict[str, Any]:
        """What ``getchallenge`` answers, alike for names that nobody has."""
        name, now = _text(username, "username"), int(time.time())
        token = _signed(self._keys()[-1], _CHALLENGE, name, now // _STEP)
        return {"token": token, "serverTime": now, "expireTime": now + CHALLENGE_LIFETIME}

    def login(self, username: Any, proof: Any) -> dict[str, Any]:
        """What ``login`` answers, when ``proof`` is the md5 of the challenge and the access key, as one text."""
        name, given = _text(username, "username"), _text(proof, "accessKey").lower().encode()
        known = self._known(name)
        key = known[0] if known is not None else secrets.token_hex(16)  # takes as long
        matches = [hmac.compare_digest(_md5(token + key), given) for token in self._challenges(name)]
        if known is None or not any(matches):
            raise Refused("INVALID_USER_CREDENTIALS", "user name or access key are wrong, or the challenge is old")
        session_name = self._serializer().dumps([name, _signed(self._keys()[-1], _FINGERPRINT, name, key)])
        user = known[1]
        user_id = user.id if isinstance(user, User) else user
        return {"sessionName": str(session_name), "userId": str(user_id), **_VERSIONS}

    def user_of(self, session_name: str) -> User | str | int:
        """Whose session it is. Raises :class:`Refused` when it is none of ours, or its time is over."""
        try:
            name, fingerprint = self._serializer().loads(session_name, max_age=int(self._lifetime))
        except (BadData, ValueError, TypeError):
            raise _not_valid() from None
        known = self._known(name)
        if known is None:
            raise _not_valid()
        prints = [_signed(key, _FINGERPRINT, name, known[0]).encode() for key in self._keys()]
        if not any(hmac.compare_digest(one, str(fingerprint).encode()) for one in prints):
            raise _not_valid()
        return known[1]

    def _known(self, name: str) -> tuple[str, User | str | int] | None:
        found = self._access_key(name)
        if found is None:
            return None
        key, user = found if isinstance(found, tuple) and len(found) == 2 else (found, name)
        is_user = isinstance(user, (User, str, int)) and not isinstance(user, bool) and user != ""
        if not isinstance(key, str) or not key or not is_user:
            raise ConfigurationError(
                "the access_key hook must return the access key as text (or that and the user, or their id), or None"
            )
        return key, user

    def _challenges(self, name: str) -> Iterator[str]:
        step = int(time.time()) // _STEP
        for key in self._keys():
            for back in range(CHALLENGE_LIFETIME // _STEP + 1):
                yield _signed(key, _CHALLENGE, name, step - back)

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._keys(), salt=_SESSION)

    def _keys(self) -> list[Any]:
        """The newest comes last."""
        if self._secret_key:
            return [self._secret_key]
        check_secret_key()
        return [*(current_app.config.get("SECRET_KEY_FALLBACKS") or ()), current_app.secret_key]


def _signed(key: Any, purpose: str, *parts: object) -> str:
    signer = Signer(key, salt=purpose, digest_method=hashlib.sha256)
    return signer.get_signature("\x1f".join(map(str, parts))).decode()


def _md5(text: str) -> bytes:
    # The protocol's; what it protects is gone in minutes.
    return hashlib.md5(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest().encode()


def _text(given: Any, name: str) -> str:
    if given is None or given == "":
        raise Refused(MISSING, f"the parameter {name} is missing")
    if not isinstance(given, str) or len(given) > _LONGEST or not given.isprintable():
        raise Refused("INVALID_USER_CREDENTIALS", f"{name} is a short text, not {shown(type(given).__name__)}")
    return given


def _not_valid() -> Refused:
    return Refused("INVALID_SESSIONID", "the session name is not valid, or not any more: log in again")
