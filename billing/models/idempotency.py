"""What `Idempotency-Key`s were used for: a day long, as keyed hashes."""

from __future__ import annotations

from django.db import models


class IdempotencyKey(models.Model):
    """The first request with a key. Written by the gateway; neither the key nor the body can be read from it."""

    hash = models.BinaryField(primary_key=True, max_length=32, editable=False)  # of the API key's id and the key
    body_hash = models.BinaryField(max_length=32)
    request_id = models.UUIDField()
    is_running = models.BooleanField()
    created_at = models.DateTimeField()
    runs_until = models.DateTimeField()  # after that the request can't be running any more, whatever the row says

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]

    def __str__(self) -> str:
        return str(self.request_id)
