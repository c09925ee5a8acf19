"""The cast of the money tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

if TYPE_CHECKING:
    from accounts.models import Organization

Grant = Callable[["Organization", int], UUID]


@pytest.fixture
def alice_organization(db: None) -> Organization:
    from accounts.models import Organization

    return Organization.objects.create(name="Alice")


@pytest.fixture
def grant() -> Grant:
    from billing import grants

    def give(organization: Organization, amount_nanos: int) -> UUID:
        return grants.grant_credit(organization, amount_nanos, reason="test", idempotency_key=str(uuid4()))

    return give
