"""Where a run may send the user at its end: a path of this application, or a host that the configuration names."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..spec import shown

#: More than any address that a human or ``url_for`` makes.
LONGEST = 2000


def check_end_url(url: str | None, hosts: Collection[str] = ()) -> str | None:
    """``url`` if it leads to this application or to one of ``hosts`` ("host" or "host:port"), else an error.

    Browsers and Python read odd addresses differently, so whatever is odd is refused.
    Raises :class:`ConfigurationError`.
    """
    if url is None:
        return None
    # Not printable are control characters, which browsers drop, and all white space but the blank.
    odd = not isinstance(url, str) or not url.isprintable() or " " in url or "\\" in url
    if odd or not 0 < len(url) <= LONGEST or not (_is_path(url) or _is_allowed(url, hosts)):
        raise ConfigurationError(
            f"on_end_url must be a path such as '/done', or an address whose host TASKQUEUE_END_URL_HOSTS names, "
            f"not {shown(url)}"
        )
    return url


def _is_path(url: str) -> bool:
    return url.startswith("/") and not url.startswith("//")


def _is_allowed(url: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if not url.lower().startswith(("http://", "https://")):
        return False
    # The whole of it is compared, so that "host@elsewhere" fits nothing.
    default = 443 if parts.scheme == "https" else 80
    names = {parts.netloc.lower()}
    if port == default:
        names.add(parts.netloc.lower().rpartition(":")[0])
    elif port is None:
        names.add(f"{parts.netloc.lower()}:{default}")
    return not names.isdisjoint(host.lower() for host in hosts)
