"""The hosts with quirks of their own, by the provider's slug in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.quirks.quirks import STANDARD, Quirks

HOSTS: Mapping[str, Quirks] = MappingProxyType({})


def quirks_of(provider: str) -> Quirks:
    """The quirks of a provider by its slug; those of the dialect's maker for an unknown one."""
    return HOSTS.get(provider, STANDARD)
