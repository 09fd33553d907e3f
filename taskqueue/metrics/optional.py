"""The library that metrics need; loaded when they are asked for, and not before."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError


def prometheus() -> Any:
    """The package ``prometheus_client``. Raises :class:`ConfigurationError` when it is not installed."""
    try:
        import prometheus_client
        import prometheus_client.core
        import prometheus_client.multiprocess
    except ImportError as error:
        raise ConfigurationError(
            f"metrics need the package prometheus_client ({error}): install taskqueue-runner[metrics]"
        ) from error
    return prometheus_client
