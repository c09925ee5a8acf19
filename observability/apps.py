from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ObservabilityConfig(AppConfig):
    name = "observability"
    verbose_name = _("What happened")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**_given: Any) -> None:
    """A database that was just migrated has its partitions before the first request comes."""
    from datetime import UTC, datetime

    from observability import partitions

    if partitions.is_partitioned():
        partitions.make_ahead(datetime.now(UTC))
