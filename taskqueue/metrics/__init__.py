"""For monitoring: metrics for Prometheus, one answer that says whether the queues are looked after, and numbers over
time."""

from .beside import metrics_beside
from .health import Trouble, health_app, troubles
from .serving import MetricsServer, metrics_app, serve_metrics, share_with_children
from .trends import TrendPoint, history, rates

__all__ = [
    "MetricsServer",
    "TrendPoint",
    "Trouble",
    "health_app",
    "history",
    "metrics_app",
    "metrics_beside",
    "rates",
    "serve_metrics",
    "share_with_children",
    "troubles",
]
