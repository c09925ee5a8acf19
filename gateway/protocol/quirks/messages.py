"""What hosts that speak Messages, and are not its maker, do otherwise (read in their documentation, November 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class MessagesQuirks:
    """The defaults are Anthropic's own ways.

    ``checks_signatures``: refuses thinking that it did not sign; the others want earlier thinking back as plain
    text. ``system_between``: system messages after the first turn are taken from callers of this dialect, from all,
    or from none. ``json_schema``: takes ``output_config.format``. ``without`` and ``without_blocks`` name the fields
    of a request and the kinds of content blocks that the host refuses or does not heed.
    """

    checks_signatures: bool = True
    system_between: Literal["own", "all", "none"] = "own"
    json_schema: bool = True
    # Whether the agent's own block of client versions may stay in the system text, where it spoils other caches.
    billing_block: bool = True
    without: frozenset[str] = frozenset()
    without_blocks: frozenset[str] = frozenset()


_SERVER_SIDE = frozenset(("mcp_servers", "container", "context_management", "safeguards", "diagnostics"))
_SERVER_BLOCKS = frozenset(("redacted_thinking", "server_tool_use", "web_search_tool_result", "mcp_tool_use"))
_WITHOUT = _SERVER_SIDE | {"service_tier", "inference_geo", "speed"}


def _compatible(*without: str, blocks: tuple[str, ...] = ()) -> MessagesQuirks:
    return MessagesQuirks(
        checks_signatures=False,
        system_between="none",
        json_schema=False,
        billing_block=False,
        without=_WITHOUT | frozenset(without),
        without_blocks=_SERVER_BLOCKS | frozenset(blocks),
    )


MESSAGES_HOSTS: Mapping[str, MessagesQuirks] = MappingProxyType(
    {
        "deepseek": _compatible("top_k", blocks=("document", "search_result")),
        "minimax": _compatible("top_k", "stop_sequences", blocks=("document",)),
        "moonshotai": _compatible(),
        "zai": _compatible(),
        "zhipuai": _compatible(),
        "alibaba": _compatible(),
        "alibaba-cn": _compatible(),
        "xiaomi": _compatible(),
        "fireworks": _compatible(),
        "siliconflow": _compatible(),
    }
)
