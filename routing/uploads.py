"""Catalogues that were offered for review: kept as they came, read and compared anew each time they are looked at."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from routing.announce import announce_change
from routing.loading.entries import CatalogueFiles
from routing.loading.reading import read_folder
from routing.loading.review import Item, review
from routing.loading.taking_over import take_over
from routing.models import CatalogueUpload, Provider

NAMES = ("providers.json", "models.json", "legacy_names.json")
BUNDLED = Path(__file__).resolve().parent / "data" / "catalogue"


def keep_bundled(by: Any) -> CatalogueUpload:
    """The catalogue that came with this version of the product."""
    return CatalogueUpload.objects.create(source="bundled", files=bundled_files(), created_by=by)


def bundled_files() -> dict[str, Any]:
    return {name: json.loads((BUNDLED / name).read_text("utf-8")) for name in NAMES if (BUNDLED / name).exists()}


def keep(source: str, files: Mapping[str, Any], by: Any) -> CatalogueUpload:
    """Raises CatalogueInvalid for files that could not be loaded; nothing is kept then."""
    read(files)
    return CatalogueUpload.objects.create(source=source[:120], files=dict(files), created_by=by)


def read(files: Mapping[str, Any]) -> CatalogueFiles:
    """Raises CatalogueInvalid with every problem."""
    known = {row.slug: tuple(row.base_urls) for row in Provider.objects.all()}
    with tempfile.TemporaryDirectory(prefix="catalogue-") as name:
        folder = Path(name)
        for file_name in NAMES:
            if file_name in files:
                (folder / file_name).write_text(json.dumps(files[file_name]), "utf-8")
        return read_folder(folder, known)


def differences(upload: CatalogueUpload) -> list[Item]:
    """What of it differs from the tables now. Raises CatalogueInvalid."""
    return review(read(upload.files))


@transaction.atomic
def apply(upload: CatalogueUpload, chosen: Collection[str], *, prices_from: datetime | None, by: Any) -> list[str]:
    """Takes over what was chosen; prices from then on, None: from now on. Raises Incomplete, CatalogueInvalid."""
    now = timezone.now()
    start = max(now, prices_from or now)
    applied = take_over(
        read(upload.files),
        chosen,
        prices_from=start,
        now=now,
        environment={**os.environ, "SANDBOX_URL": settings.SANDBOX_URL},
        keys=settings.CREDENTIAL_KEYS,
    )
    upload.applied = list(dict.fromkeys((*upload.applied, *applied)))
    upload.applied_by = by
    upload.applied_at = now
    upload.save(update_fields=["applied", "applied_by", "applied_at"])
    announce_change()
    return applied
