from django.urls import path

from observability import health, pages

urlpatterns = [
    path("overview", pages.overview, name="overview"),
    path("logs", pages.logs, name="logs"),
    path("logs/<uuid:request_id>", pages.log, name="log"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_text, name="metrics"),
]
