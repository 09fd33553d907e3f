"""For monitoring: metrics for Prometheus, and one answer that says whether the queues are looked after."""

from .beside import metrics_beside
from .health import Trouble, health_app, troubles
from .serving import MetricsServer, metrics_app, serve_metrics, share_with_children

__all__ = [
    "MetricsServer",
    "Trouble",
    "health_app",
    "metrics_app",
    "metrics_beside",
    "serve_metrics",
    "share_with_children",
    "troubles",
]
