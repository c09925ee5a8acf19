"""The hosts with quirks of their own, by the provider's slug in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from types import MappingProxyType

from gateway.protocol.quirks.azure import AZURE
from gateway.protocol.quirks.cerebras import CEREBRAS
from gateway.protocol.quirks.deepseek import DEEPSEEK
from gateway.protocol.quirks.fireworks import FIREWORKS
from gateway.protocol.quirks.google import GOOGLE
from gateway.protocol.quirks.groq import GROQ
from gateway.protocol.quirks.messages import MESSAGES_HOSTS
from gateway.protocol.quirks.minimax import MINIMAX
from gateway.protocol.quirks.mistral import MISTRAL
from gateway.protocol.quirks.moonshotai import MOONSHOTAI
from gateway.protocol.quirks.openai import OPENAI
from gateway.protocol.quirks.openrouter import OPENROUTER
from gateway.protocol.quirks.perplexity import PERPLEXITY
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.quirks.qwen import QWEN
from gateway.protocol.quirks.siliconflow import SILICONFLOW
from gateway.protocol.quirks.together import TOGETHER
from gateway.protocol.quirks.volcengine import VOLCENGINE
from gateway.protocol.quirks.xai import XAI
from gateway.protocol.quirks.xiaomi import XIAOMI
from gateway.protocol.quirks.zhipu import ZHIPU

HOSTS: Mapping[str, Quirks] = MappingProxyType(
    {
        "openai": OPENAI,
        "azure": AZURE,
        "google": GOOGLE,
        "vertex": GOOGLE,
        "mistral": MISTRAL,
        "deepseek": DEEPSEEK,
        "xai": XAI,
        "alibaba": QWEN,
        "alibaba-cn": QWEN,
        "moonshotai": MOONSHOTAI,
        "zai": ZHIPU,
        "zhipuai": ZHIPU,
        "minimax": MINIMAX,
        "xiaomi": XIAOMI,
        "volcengine": VOLCENGINE,
        "groq": GROQ,
        "cerebras": CEREBRAS,
        "together": TOGETHER,
        "fireworks": FIREWORKS,
        "siliconflow": SILICONFLOW,
        "openrouter": OPENROUTER,
        "perplexity": PERPLEXITY,
    }
)


@cache
@lru_cache(maxsize=1024)
def quirks_of(provider: str) -> Quirks:
    """The quirks of a provider by its slug; those of the dialect's maker for an unknown one."""
    quirks = HOSTS.get(provider, STANDARD)
    messages = MESSAGES_HOSTS.get(provider)
    return quirks if messages is None else replace(quirks, messages=messages)
