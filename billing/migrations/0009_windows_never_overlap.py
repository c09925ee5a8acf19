"""Whoever waited for another to open a window finds it, although it began after the waiting did."""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

_BEFORE: str = import_module("billing.migrations.0004_reserving").OPEN_WINDOW.replace(
    "CREATE ", "CREATE OR REPLACE ", 1
)
OPEN_WINDOW = _BEFORE.replace("w.opens_at <= p_now", "w.opens_at <= clock_timestamp()")


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_idempotency_keys")]

    operations = [migrations.RunSQL(OPEN_WINDOW, _BEFORE)]
