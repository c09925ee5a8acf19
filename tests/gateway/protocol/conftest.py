"""Generated examples are checked for what they give, never for how long they take.

The same examples in every run; LONG_PROPERTIES=1 tries many more, other ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "protocol",
    deadline=None,
    max_examples=60,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "protocol-long", deadline=None, max_examples=3000, suppress_health_check=list(HealthCheck), print_blob=True
)
settings.load_profile("protocol-long" if os.environ.get("LONG_PROPERTIES") else "protocol")
