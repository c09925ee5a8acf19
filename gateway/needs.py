"""What a request needs of whoever answers it, read from its parsed JSON or its conversation. Keeps no content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from gateway.exchange import Exchange
from gateway.protocol.conversation import (
    NOTHING,
    Audio,
    Conversation,
    File,
    Image,
    JsonObject,
    Opaque,
    Part,
    ReasoningControls,
    ToolResult,
)
from gateway.protocol.glance import Asked
from gateway.task import task_of
from routing.policy.needs import Needs

_NO_PARAMETERS: Final[frozenset[str]] = frozenset()
_EFFORTS: Final = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
_BUDGETS: Final = ((0, "none"), (2048, "low"), (8192, "medium"), (32768, "high"))  # at most so many tokens of thought
# A request's parameters that not every model takes -> OpenRouter's word for it, which the catalogue's lists have too.
_CHAT_PARAMETERS: Final[Mapping[str, str]] = {
    name: name
    for name in (
        "temperature", "top_p", "top_k", "top_a", "min_p", "seed", "frequency_penalty", "presence_penalty",
        "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "parallel_tool_calls", "prediction",
    )
} | {"web_search_options": "web_search"}  # fmt: skip
_GEMINI_PARAMETERS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "responseLogprobs": "logprobs",
}
_SAMPLING: Final = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
_OPAQUE: Final[Mapping[str, str]] = {
    "video_url": "video",
    "input_video": "video",
    "input_image": "images",
    "input_file": "files",
    "fileData": "files",
    "document": "files",
}
_MEDIA: Final[Mapping[str, str]] = {"image": "images", "audio": "audio", "video": "video", "text": ""}


_SIGNIFICANT_BITS: Final = 4
_PROMPT_MARGIN: Final = 1.25  # what the upper estimate has over the likely one


def needs_of(exchange: Exchange) -> Needs:
    """Never raises: what is of no known kind is no need. `prompt_tokens` is the upper estimate."""
    asked = exchange.asked
    if asked is not None:
        return _of_glance(
            exchange.endpoint, asked, exchange.prompt_tokens, exchange.prompt_tokens, asked.max_output_tokens
        )
    if exchange.conversation is not None:
        return _of_conversation(exchange.endpoint, exchange.conversation, exchange.prompt_tokens)
    return Needs(exchange.endpoint, exchange.stream, exchange.prompt_tokens, exchange.max_output_tokens)


def alike_needs_of(exchange: Exchange) -> Needs:
    """The needs of all requests that are decided alike: sizes rounded down to four significant bits, the prompt's being
    the likely one, so that a prompt is never taken for longer than it is."""
    asked = exchange.asked
    if asked is None:
        return alike(needs_of(exchange))
    size, most = exchange.prompt_tokens, asked.max_output_tokens
    rounded = None if most is None else _rounded(most)
    return _of_glance(exchange.endpoint, asked, size, _rounded(int(size / _PROMPT_MARGIN)), rounded)


def alike(needs: Needs) -> Needs:
    """As `alike_needs_of`, from what `needs_of` gave."""
    likely, most = int(needs.prompt_tokens / _PROMPT_MARGIN), needs.max_output_tokens
    return needs._replace(prompt_tokens=_rounded(likely), max_output_tokens=None if most is None else _rounded(most))


def _rounded(number: int) -> int:
    dropped = number.bit_length() - _SIGNIFICANT_BITS
    return number if dropped <= 0 else number >> dropped << dropped


# --- A glance ---------------------------------------------------------------------------------------------------------
def _of_glance(endpoint: str, asked: Asked, size: int, prompt_tokens: int, most: int | None) -> Needs:
    """What a glance takes holds neither sound nor films nor documents. `size` is the prompt's, as it is; the other two
    go into the needs."""
    source = asked.source
    tools = source.get("tools")
    reasoning, parameters, structured = _READERS[endpoint](source)
    return Needs(
        endpoint,
        asked.stream,
        prompt_tokens,
        most,
        asked.images > 0,
        False,
        False,
        False,
        bool(tools),
        structured,
        reasoning,
        parameters,
        task_of(source, size, len(tools) if tools else 0, structured=structured),
    )


_Read = tuple[str, frozenset[str], bool]


def _chat(source: JsonObject) -> _Read:
    wish = source.get("response_format")
    structured = type(wish) is dict and wish.get("type") == "json_schema"
    effort = source.get("reasoning_effort")
    return _effort(effort) if effort else "", _named(source, _CHAT_PARAMETERS), structured


def _responses(source: JsonObject) -> _Read:
    """A glance leaves schemas to the codec."""
    wish = source.get("reasoning")
    reasoning = _reasoning(wish.get("enabled"), wish.get("effort"), wish.get("max_tokens")) if wish else ""
    return reasoning, _named(source, _CHAT_PARAMETERS), False


def _messages(source: JsonObject) -> _Read:
    wish, config = source.get("thinking"), source.get("output_config")
    effort = config.get("effort") if config else None
    if wish:
        kind = wish.get("type")
        enabled = False if kind == "disabled" else True if kind in ("enabled", "adaptive") else None
        reasoning = _reasoning(enabled, effort, wish.get("budget_tokens"))
    else:
        reasoning = _effort(effort) if effort else ""
    return reasoning, _named(source, _CHAT_PARAMETERS), False


def _gemini(source: JsonObject) -> _Read:
    config = source.get("generationConfig") or NOTHING
    wish = config.get("thinkingConfig")
    reasoning = _reasoning(None, wish.get("thinkingLevel"), wish.get("thinkingBudget")) if wish else ""
    return reasoning, _named(config, _GEMINI_PARAMETERS), False


_READERS: Final[Mapping[str, Callable[[JsonObject], _Read]]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _messages,
    "gemini_generate": _gemini,
}


def _named(source: JsonObject, words: Mapping[str, str]) -> frozenset[str]:
    if words.keys().isdisjoint(source):
        return _NO_PARAMETERS
    return frozenset([words[name] for name in source if name in words and source[name] is not None])


# --- A conversation ---------------------------------------------------------------------------------------------------
def _of_conversation(endpoint: str, conversation: Conversation, prompt_tokens: int) -> Needs:
    media: set[str] = set()
    for turn in conversation.turns:
        _note_media(turn.parts, media)
    wish = conversation.response_format
    structured = wish is not None and wish.kind == "json_schema"
    return Needs(
        endpoint=endpoint,
        stream=conversation.stream,
        prompt_tokens=prompt_tokens,
        max_output_tokens=conversation.max_output_tokens,
        images="images" in media,
        audio="audio" in media,
        video="video" in media,
        files="files" in media,
        tools=bool(conversation.tools),
        structured_output=structured,
        reasoning=_of_controls(conversation.reasoning),
        parameters=_parameters(conversation),
        task=task_of(conversation.source, prompt_tokens, len(conversation.tools), structured=structured),
    )


def _note_media(parts: Iterable[Part], media: set[str]) -> None:
    for part in parts:
        if isinstance(part, Image):
            media.add("images")
        elif isinstance(part, Audio):
            media.add("audio")
        elif isinstance(part, File):
            media.add(_of_file(part))
        elif isinstance(part, Opaque):
            media.add(_OPAQUE.get(part.kind, ""))
        elif isinstance(part, ToolResult):
            _note_media(part.parts, media)


def _of_file(file: File) -> str:
    """A text is read out to the model, whatever it takes besides."""
    if file.text is not None:
        return ""
    kind = (file.media_type or "").partition("/")[0]
    return _MEDIA.get(kind, "files")


def _parameters(conversation: Conversation) -> frozenset[str]:
    sampling = conversation.sampling
    found = [name for name in _SAMPLING if getattr(sampling, name) is not None]
    if conversation.parallel_tools is not None:
        found.append("parallel_tool_calls")
    if conversation.dialect != "gemini_generate":
        found += _named(conversation.extras, _CHAT_PARAMETERS)
    return frozenset(found) if found else _NO_PARAMETERS


def _of_controls(wish: ReasoningControls) -> str:
    return _reasoning(wish.enabled, wish.effort, wish.budget_tokens)


# --- Reasoning --------------------------------------------------------------------------------------------------------
def _reasoning(enabled: Any, effort: Any, budget: Any) -> str:
    """An effort in our words; "" where nothing was asked for."""
    if enabled is False:
        return "none"
    if effort:
        return _effort(effort)
    if budget is not None:
        return _of_budget(budget)
    return "medium" if enabled else ""


def _effort(word: Any) -> str:
    if type(word) is not str:
        return ""
    word = word.lower()
    return word if word in _EFFORTS else "medium"


def _of_budget(tokens: int) -> str:
    if tokens < 0:
        return "medium"  # as much as the model thinks fit
    return next((effort for most, effort in _BUDGETS if tokens <= most), "xhigh")
