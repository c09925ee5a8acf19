"""Generated examples are checked for what they give, never for how long they take."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("protocol", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("protocol")
