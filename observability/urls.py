from django.urls import path

from observability import health, pages, receipts

urlpatterns = [
    path("overview", pages.overview, name="overview"),
    path("logs", pages.logs, name="logs"),
    path("logs/<uuid:request_id>", pages.log, name="log"),
    path("receipts/<str:public_id>.json", receipts.download, name="receipt"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_text, name="metrics"),
]
