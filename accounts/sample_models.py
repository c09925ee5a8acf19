"""The models that examples name: on the keys page, in the docs, in the first steps of the overview."""

from __future__ import annotations

from typing import Final

from django.conf import settings

SANDBOX_MODEL: Final = "sandbox/echo"  # answers without an account at any provider
SANDBOX_EMBEDDING_MODEL: Final = "sandbox/embedding"
SAMPLE_MODEL: Final = "deepseek/deepseek-v4.1-flash"


def sample_model() -> str:
    return SANDBOX_MODEL if settings.SANDBOX_ENABLED else SAMPLE_MODEL
