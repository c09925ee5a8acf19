"""Whether the journal's server may be trusted with a journal."""

from __future__ import annotations

import re

from django.core.exceptions import ImproperlyConfigured

from gateway.redis_link import RedisAway, RedisLink, RedisRefused

_POLICY = re.compile(rb"^maxmemory_policy:(\S+)", re.MULTILINE)


async def check_eviction(link: RedisLink) -> None:
    """Raises ImproperlyConfigured where the server may throw the journal away to make room.

    One that is away, or tells nobody, is let pass: requests are settled without it.
    """
    try:
        info = await link.call("INFO", "memory")
    except (RedisAway, RedisRefused):
        return
    found = _POLICY.search(info if isinstance(info, bytes) else b"")
    policy = found[1].decode("ascii", "replace") if found else ""
    if policy.startswith("allkeys-"):
        raise ImproperlyConfigured(
            f"The server of the usage journal has maxmemory-policy {policy}: when its memory is full it would throw"
            " charges away. Set it to noeviction, or give the journal a server of its own with JOURNAL_URL."
        )
