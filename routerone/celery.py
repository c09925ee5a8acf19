"""The Celery application: worker and beat."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from routerone.memory import settle_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routerone.settings")

app = Celery("routerone")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _settle_down(**_: Any) -> None:
    """Settling a batch makes many objects and no cycles: looking for them cost a quarter of its time."""
    settle_down()
