"""The pages of the dashboard: an administrator's home."""

from .views import add_dashboard_views

__all__ = ["add_dashboard_views"]
