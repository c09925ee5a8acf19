"""Azure: OpenAI's own models, and other makers' under the same rules."""

from __future__ import annotations

from dataclasses import replace

from gateway.protocol.quirks.openai import OPENAI

AZURE = replace(OPENAI, name="azure")
