"""Pages about the product itself."""

from __future__ import annotations

from django.urls import path

from routerone import site_pages

urlpatterns = [
    path("", site_pages.home, name="home"),
    path("docs", site_pages.docs, name="docs"),
    path("robots.txt", site_pages.robots),
    path("llms.txt", site_pages.llms),
]
