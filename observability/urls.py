from django.urls import path

from observability import exports, health, pages, receipts, usage_pages

urlpatterns = [
    path("overview", pages.overview, name="overview"),
    path("usage", usage_pages.usage, name="usage"),
    path("usage.csv", exports.usage_csv, name="usage_export"),
    path("logs.csv", exports.logs_csv, name="logs_export"),
    path("logs", pages.logs, name="logs"),
    path("logs/<uuid:request_id>", pages.log, name="log"),
    path("receipts/<str:public_id>.json", receipts.download, name="receipt"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_text, name="metrics"),
]
