"""Pages about the product itself."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from routerone import site_pages

urlpatterns = [
    path("", site_pages.home, name="home"),
    path("docs", site_pages.docs, name="docs"),
    path("docs/charges", site_pages.charges, name="docs_charges"),
    path("favicon.ico", RedirectView.as_view(url="/static/img/logo.svg", permanent=True)),
    path("robots.txt", site_pages.robots),
    path("llms.txt", site_pages.llms),
    path("favicon.ico", site_pages.favicon),
    path("admin", RedirectView.as_view(url="/admin/")),
]
