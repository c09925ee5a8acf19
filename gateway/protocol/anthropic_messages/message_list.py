"""The list of messages: what has to stand together, and in which order."""

from __future__ import annotations

from typing import Any

from gateway.protocol.anthropic_messages.host import reminder
from gateway.protocol.conversation import Turn

SYSTEM_ROLES = ("system", "developer")

Block = dict[str, Any]


class Messages:
    """Joins what has to stand in one message: parallel calls, and all their results before any text."""

    def __init__(self, *, own: bool, keeps_system: bool) -> None:
        self.list: list[dict[str, Any]] = []
        self._own = own
        self._keeps_system = keeps_system
        self._after_results = False

    def add(self, turn: Turn, blocks: list[Block]) -> None:
        if self._own:
            self.list.append({"role": turn.role, "content": blocks, **turn.extras})
        elif not blocks:
            return
        elif turn.role == "assistant":
            self._add_answer(blocks)
        elif turn.role in SYSTEM_ROLES:
            self._add_system(blocks)
        else:
            self._add_question(blocks)

    def _add_answer(self, blocks: list[Block]) -> None:
        if self.list and self.list[-1]["role"] == "assistant":
            self.list[-1]["content"].extend(blocks)
        else:
            self.list.append({"role": "assistant", "content": blocks})
        self._after_results = False

    def _add_question(self, blocks: list[Block]) -> None:
        results = [block for block in blocks if block["type"] == "tool_result"]
        rest = [block for block in blocks if block["type"] != "tool_result"]
        if results and self._answers_calls(results):
            # What was said between a call and its result is heard after it.
            content = self.list[-1]["content"]
            place = sum(block["type"] == "tool_result" for block in content)
            content[place:place] = results
            content.extend(rest)
        elif self._after_results and not results:
            self.list[-1]["content"].extend(rest)
        else:
            self.list.append({"role": "user", "content": results + rest})
        self._after_results = bool(results) and not rest

    def _answers_calls(self, results: list[Block]) -> bool:
        """Whether the last message follows the calls of these results."""
        if len(self.list) < 2 or self.list[-1]["role"] != "user":
            return False
        calls = {block.get("id") for block in self.list[-2]["content"] if block["type"] == "tool_use"}
        return any(block["tool_use_id"] in calls for block in results)

    def _add_system(self, blocks: list[Block]) -> None:
        if self._keeps_system and self.list:
            self.list.append({"role": "system", "content": blocks})
            self._after_results = False
            return
        still_after = self._after_results
        self._add_question([_as_reminder(block) for block in blocks])
        self._after_results = still_after


def _as_reminder(block: Block) -> Block:
    return {**block, "text": reminder(block["text"])} if block["type"] == "text" else block
