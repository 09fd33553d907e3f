"""The dashboard as a view of Flask-Admin, with its menu around all pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import abort, redirect, render_template
from flask_admin import BaseView, expose  # type: ignore[import-untyped]

from .dashboard.access import Access
from .extension import TaskQueue
from .settings import WebSettings
from .site import Site

_FRAME = "taskqueue/in_flask_admin.html"


class DashboardView(BaseView):  # type: ignore[misc]
    """An entry in the menu of Flask-Admin that leads to the dashboard.

    ::

        pages = TaskQueue(app, service, authorize_dashboard=lambda action, queue: current_user.is_admin)
        Admin(app).add_view(DashboardView(pages, name="Queues"))

    Arguments:
        pages: the extension, which was given the application before. Its pages, also those of runs, stand in the frame
            of Flask-Admin from then on.
        options: as of :class:`flask_admin.BaseView`: name, category, endpoint, url, menu_icon_type and so on.

    Who may see it is asked of ``authorize_dashboard``, like everything else on the dashboard; what Flask-Admin itself
    decides (``is_accessible`` of other views) does not matter here. The pages have no policy of their own for scripts
    and styles there, because those of Flask-Admin stand in them.
    """

    def __init__(self, pages: TaskQueue, **options: Any) -> None:
        super().__init__(**{"name": "Queues", "endpoint": "taskqueue_dashboard", **options})
        self._pages = pages

    def create_blueprint(self, admin: Any) -> Any:
        """Called by Flask-Admin when it has an application."""
        site = self._site(admin.app)
        site.settings = replace(site.settings, base_template=_FRAME)
        site.draw = self._draw
        return super().create_blueprint(admin)

    def _draw(self, template: str, **values: Any) -> str:
        if self.is_accessible():
            return str(self.render(template, **values))
        # Somebody who may not look is not told of the frame either, which names this view.
        return render_template(template, **{**values, "base_template": WebSettings.base_template})

    @expose("/")  # type: ignore[untyped-decorator]
    def index(self) -> Any:
        """Lead to the dashboard."""
        return redirect(self._site(self.admin.app).url("dashboard_overview"), code=303)

    def is_accessible(self) -> bool:
        """Whether the visitor may look at the dashboard: else Flask-Admin hides the entry."""
        site = self._site(self.admin.app)
        return Access(site, site.translate()).may("view")

    def inaccessible_callback(self, name: str, **options: Any) -> Any:
        """To who may not look there is nothing here."""
        abort(404)

    def _site(self, app: Any) -> Site:
        return self._pages.site(app)
