"""What each dialect can express of the canonical model, beyond what all of them can."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.protocol.conversation import Role


@dataclass(frozen=True)
class Carries:
    """The parts and fields of a conversation, and of a reply, that come back unchanged from this dialect."""

    results_role: Role = "tool"
    system_cache: bool = True
    images: tuple[str, ...] = ("data",)
    image_detail: bool = False
    files: tuple[str, ...] = ()
    file_names: bool = True
    audio: bool = False
    cache: bool = False
    mid_system: bool = False
    system_texts: int = 2
    # Kinds of pieces: "text" alone, "signature" with its text, "redacted", "encrypted" with a summary and an id.
    reasoning: tuple[str, ...] = ()
    refusal: bool = False
    result_errors: bool = False
    custom_tools: bool = False
    namespaces: bool = False
    tool_strict: bool = False
    sampling: tuple[str, ...] = ("temperature", "top_p")
    formats: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    budgets: bool = False
    parallel: bool = False
    user: bool = False
    metadata: bool = False
    cache_key: bool = False
    verbosity: bool = False
    # Of replies:
    choices: int = 1
    stop_sequence: bool = False
    usage: tuple[str, ...] = ("input", "cache_read", "output", "reasoning")
    finishes: tuple[str, ...] = ("stop", "length")
    # How an answer ends that holds a refusal in words.
    refusal_finish: str = "stop"


ALL_SAMPLING = ("temperature", "top_p", "top_k", "stop", "n", "seed", "frequency_penalty", "presence_penalty")

CARRIES = {
    "openai_chat": Carries(
        images=("data", "url"),
        image_detail=True,
        files=("url", "data", "file_id"),
        audio=True,
        cache=True,
        mid_system=True,
        reasoning=("text",),
        cache_key=True,
        verbosity=True,
        refusal=True,
        tool_strict=True,
        sampling=ALL_SAMPLING,
        formats=("text", "json_object", "json_schema"),
        efforts=("minimal", "low", "medium", "high", "xhigh"),
        parallel=True,
        user=True,
        metadata=True,
        choices=3,
        usage=("input", "input_audio", "cache_read", "cache_write", "output", "reasoning", "output_audio"),
        finishes=("stop", "length", "content_filter"),
    ),
    "anthropic_messages": Carries(
        results_role="user",
        images=("data", "url"),
        files=("url", "data", "text"),
        cache=True,
        mid_system=True,
        reasoning=("signature", "redacted"),
        result_errors=True,
        sampling=("temperature", "top_p", "top_k", "stop"),
        formats=("json_schema",),
        efforts=("low", "medium", "high", "max"),
        budgets=True,
        user=True,
        metadata=True,
        stop_sequence=True,
        usage=("input", "cache_read", "cache_write", "cache_write_long", "output", "reasoning", "web_search"),
        finishes=("stop", "length", "refusal"),
    ),
    "openai_responses": Carries(
        images=("data", "url"),
        image_detail=True,
        files=("url", "data", "file_id"),
        audio=True,
        cache=True,
        mid_system=True,
        system_texts=1,
        system_cache=False,
        reasoning=("encrypted",),
        refusal=True,
        custom_tools=True,
        namespaces=True,
        tool_strict=True,
        formats=("text", "json_object", "json_schema"),
        efforts=("minimal", "low", "medium", "high"),
        parallel=True,
        user=True,
        metadata=True,
        cache_key=True,
        verbosity=True,
        refusal_finish="refusal",
    ),
    "gemini_generate": Carries(
        sampling=ALL_SAMPLING,
        formats=("json_object", "json_schema"),
        files=("data",),
        file_names=False,
        audio=True,
    ),
}


def carried_by(dialect: str) -> Carries:
    return CARRIES.get(dialect, Carries())
