"""A Messages body changed to what a host of other makers' models takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.json_text import dump_text
from gateway.protocol.quirks.messages import MessagesQuirks

BILLING_BLOCK = "x-anthropic-billing-header"

# Fields that agents always send and whose loss does not change the answer.
_SILENT = frozenset(("service_tier", "safeguards", "diagnostics", "inference_geo", "speed"))
# Kinds of blocks that no other host could read anyway.
_SILENT_BLOCKS = frozenset(("redacted_thinking",))


def adapt(body: dict[str, Any], quirks: MessagesQuirks, dropped: list[str]) -> None:
    """Changes ``body`` itself, but nothing inside it; names what is lost in ``dropped``."""
    for name in quirks.without & body.keys():
        del body[name]
        if name not in _SILENT:
            dropped.append(name)
    if not quirks.billing_block:
        _drop_billing(body)
    if not quirks.json_schema:
        _drop_format(body, dropped)
    messages = body.get("messages")
    if isinstance(messages, list) and (quirks.without_blocks or quirks.system_between == "none"):
        body["messages"] = [message for item in messages if (message := _adapted(item, quirks, dropped)) is not None]


def is_billing(text: Any) -> bool:
    """The agent's own block of client versions: of no use to a model, and new with every version."""
    return isinstance(text, str) and text.startswith(BILLING_BLOCK)


def reminder(text: str) -> str:
    """Words of the system in the mouth of the user, in the form in which models know it."""
    return f"<system-reminder>\n{text}\n</system-reminder>"


def instruct(body: dict[str, Any], text: str) -> None:
    """Adds words to the system field, in whichever form it has."""
    system = body.get("system")
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) and system else list(system or ())
    body["system"] = [*blocks, {"type": "text", "text": text}]


def json_instruction(schema: str = "") -> str:
    """What a model is told where the host cannot hold it to a schema."""
    if not schema:
        return "Answer with one JSON object and nothing else: no words around it, no code fence."
    return f"Answer with JSON of this schema and nothing else, no words around it, no code fence:\n{schema}"


def _drop_billing(body: dict[str, Any]) -> None:
    system = body.get("system")
    if is_billing(system):
        del body["system"]
    elif isinstance(system, list):
        body["system"] = [
            block for block in system if not (isinstance(block, Mapping) and is_billing(block.get("text")))
        ]
        if not body["system"]:
            del body["system"]


def _drop_format(body: dict[str, Any], dropped: list[str]) -> None:
    config = body.get("output_config")
    wish = config.get("format") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(wish, dict):
        return
    body["output_config"] = {name: value for name, value in config.items() if name != "format"}
    if not body["output_config"]:
        del body["output_config"]
    instruct(body, json_instruction(dump_text(wish.get("schema") or {})))
    dropped.append("output_config.format")


def _adapted(message: Any, quirks: MessagesQuirks, dropped: list[str]) -> Any:
    """The message, None where nothing of it is left."""
    if not isinstance(message, Mapping):
        return message
    content = message.get("content")
    if message.get("role") == "system" and quirks.system_between == "none":
        return {"role": "user", "content": _reminders(content)}
    if not isinstance(content, list):
        return message
    kept = [block for block in content if not _lacks(block, quirks, dropped)]
    if len(kept) == len(content):
        return message
    return {**message, "content": kept} if kept else None


def _lacks(block: Any, quirks: MessagesQuirks, dropped: list[str]) -> bool:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(kind, str) or kind not in quirks.without_blocks:
        return False
    if kind not in _SILENT_BLOCKS:
        dropped.append(kind)
    return True


def _reminders(content: Any) -> Any:
    if isinstance(content, str):
        return reminder(content)
    if not isinstance(content, list):
        return content
    return [
        {**block, "text": reminder(block["text"])}
        if isinstance(block, Mapping) and isinstance(block.get("text"), str)
        else block
        for block in content
    ]
