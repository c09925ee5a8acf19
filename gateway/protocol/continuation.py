"""An answer in plain text that broke off, and the request with which another model goes on behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.protocol.anthropic_messages.thinking import claude_version
from gateway.protocol.conversation import Conversation, ForeignTool, ReasoningControls, Text, Turn
from gateway.protocol.quirks.quirks import Quirks
from gateway.protocol.reply import (
    CitationDelta,
    ReasoningDelta,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    UsageSeen,
)

MOST_KEPT_BYTES = 256 * 1024
INSTRUCTION = (
    "Your answer above was cut off by a technical fault. Continue it with exactly the characters that come next, as if"
    " it had never stopped. Repeat nothing of it, and say nothing about the interruption or this message."
)

_WORTH_COMPARING = 20  # characters: a shorter beginning may come again by chance
_NO_PREFILL = (4, 6)  # from this Claude on a last turn of the assistant is refused
# Parts of the names of wishes for something else beside the text.
_MORE_THAN_TEXT = ("logprob", "modalities", "audio", "speech", "web_search", "plugins", "include", "prediction",
                   "mcp_servers", "container")  # fmt: skip


def is_plain(conversation: Conversation) -> bool:
    """Whether the answer, unless tools are called, is one text and nothing else."""
    form = conversation.response_format
    if conversation.sampling.n > 1 or (form is not None and form.kind != "text"):
        return False
    if any(isinstance(tool, ForeignTool) for tool in conversation.tools):
        return False
    if not conversation.turns or conversation.turns[-1].role == "assistant":
        return False  # the caller has begun the answer itself
    return not any(part in name.lower() for name in conversation.extras for part in _MORE_THAN_TEXT)


class PlainAnswer:
    """The text that a client has so far, as long as it has nothing else; at most MOST_KEPT_BYTES are kept."""

    __slots__ = ("_pieces", "_size", "is_plain")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self.is_plain = True

    @property
    def has_text(self) -> bool:
        return bool(self._pieces)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def take(self, events: Iterable[StreamEvent]) -> None:
        """Events that went out."""
        for event in events:
            if not self.is_plain or isinstance(event, Started | UsageSeen):
                continue
            if isinstance(event, TextDelta) and event.choice == 0:
                self._add(event.text)
            elif self._pieces or not isinstance(event, ReasoningDelta | SignatureDelta):
                self._give_up()  # reasoning may come before the text, anything else makes it more than plain text

    def _add(self, text: str) -> None:
        self._size += len(text.encode("utf-8", "replace"))
        if self._size > MOST_KEPT_BYTES:
            self._give_up()
        elif text:
            self._pieces.append(text)

    def _give_up(self) -> None:
        self.is_plain = False
        self._pieces.clear()


def takes_prefill(conversation: Conversation, dialect: str, upstream_model: str, quirks: Quirks) -> bool:
    """Whether this model goes on by itself where the last turn is the assistant's."""
    wishes = conversation.reasoning
    if wishes.enabled or wishes.effort not in (None, "none") or wishes.budget_tokens is not None:
        return False  # who thinks first begins anew
    if dialect == "anthropic_messages":
        version = claude_version(upstream_model)
        return version is not None and version < _NO_PREFILL
    return dialect == "openai_chat" and bool(quirks.prefill_field)


def resumed(conversation: Conversation, said: str, *, prefill: bool) -> Conversation:
    """The request with what was said as a turn of the assistant, and where it needs to be told, what to do with it.

    White space at its end is left out: models begin a word with it, and some refuse a turn that ends with it.
    """
    text = said.rstrip()
    if not text:
        return conversation
    turns = (*conversation.turns, Turn("assistant", (Text(text),)))
    if not prefill:
        turns = (*turns, Turn("user", (Text(INSTRUCTION),)))
    reasoning = conversation.reasoning
    if reasoning.budget_tokens is not None:  # it might be more than the tokens that are left
        reasoning = ReasoningControls()
    return replace(conversation, turns=turns, reasoning=reasoning)


class Joint:
    """Lets through of a second stream what may follow `said`: no new beginning, no reasoning, nothing said twice.

    Some models repeat the whole text before they go on, and most the white space at its end, which was not sent along.
    Citations are left out, for they count from the second stream's own beginning.
    """

    __slots__ = ("_body", "_decided", "_held", "_tail", "reasoned", "repeated")

    def __init__(self, said: str) -> None:
        body = said.rstrip()
        self._body = body if len(body) >= _WORTH_COMPARING else ""
        self._tail = said[len(body) :]
        self._held = ""
        self._decided = not self._body and not self._tail
        self.repeated = False
        self.reasoned = False

    def feed(self, events: Iterable[StreamEvent]) -> tuple[StreamEvent, ...]:
        kept: list[StreamEvent] = []
        for event in events:
            if isinstance(event, Started | SignatureDelta | CitationDelta):
                continue
            if isinstance(event, ReasoningDelta):
                self.reasoned = True
                continue
            if isinstance(event, TextDelta):
                text = event.text if self._decided else self._first(event.text)
                if text:
                    kept.append(replace(event, text=text))
                continue
            if not self._decided and not isinstance(event, UsageSeen):
                rest = self._end()
                if rest:
                    kept.append(TextDelta(rest))
            kept.append(event)
        return tuple(kept)

    def _first(self, text: str) -> str:
        """What may go out of the text so far: nothing while it may still be a repetition."""
        held = self._held = self._held + text
        body, tail = self._body, self._tail
        if body and not self.repeated:
            if len(held) < len(body) and body.startswith(held):
                return ""
            if held.startswith(body):
                self.repeated = True
                held = self._held = held[len(body) :]
        if len(held) < len(tail) and tail.startswith(held):
            return ""
        self._decided = True
        self._held = ""
        return held.removeprefix(tail)

    def _end(self) -> str:
        """Nothing more comes that could tell."""
        self._decided = True
        held, self._held = self._held, ""
        return "" if self._tail.startswith(held) else held
