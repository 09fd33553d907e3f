"""Metrics for Prometheus: what stands in the queues, and what this process and its children have done."""

from .beside import metrics_beside
from .serving import MetricsServer, metrics_app, serve_metrics, share_with_children

__all__ = ["MetricsServer", "metrics_app", "metrics_beside", "serve_metrics", "share_with_children"]
