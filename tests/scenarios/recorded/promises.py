"""What must arrive of a recorded answer in each client's dialect."""

from __future__ import annotations

from typing import Any

from tests.scenarios.recorded.readers import Read, parsed

# The providers' finish words by what they mean.
_MEANING = {
    **dict.fromkeys(("stop", "end_turn", "STOP", "completed", "stop_sequence", "pause_turn", ""), "stop"),
    **dict.fromkeys(("length", "max_tokens", "MAX_TOKENS", "incomplete:max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "calls"),
    **dict.fromkeys(("content_filter", "refusal", "SAFETY", "RECITATION", "incomplete:content_filter"), "filter"),
}
# meaning -> the words that a client may be told
_WORDS: dict[str, dict[str, set[str]]] = {
    "openai_chat": {"stop": {"stop"}, "length": {"length"}, "calls": {"tool_calls"}, "filter": {"content_filter"}},
    "openai_responses": {
        "stop": {"completed"},
        "length": {"incomplete:max_output_tokens"},
        "calls": {"completed"},
        "filter": {"completed", "incomplete:content_filter"},
    },
    "anthropic_messages": {
        "stop": {"end_turn", "stop_sequence"},
        "length": {"max_tokens"},
        "calls": {"tool_use"},
        "filter": {"refusal"},
    },
    "gemini_generate": {
        "stop": {"STOP"},
        "length": {"MAX_TOKENS"},
        "calls": {"STOP"},
        "filter": {"SAFETY", "PROHIBITED_CONTENT", "BLOCKED:OTHER", "BLOCKED:SAFETY", "BLOCKED:PROHIBITED_CONTENT"},
    },
}
_NO_REASONING_COUNT = ("anthropic_messages",)


def meaning(exchange: dict[str, Any]) -> str:
    """stop, length, calls, filter, or other for words that no other dialect has."""
    if not exchange["expect"]["choices"]:
        return "filter"  # a blocked prompt
    choice = exchange["expect"]["choices"][0]
    finish = choice["finish"] or ""
    found = "filter" if finish.startswith("BLOCKED") else _MEANING.get(finish, "other")
    if found == "stop" and choice["tool_calls"]:
        return "calls"
    return found


def broken(exchange: dict[str, Any], client: str, got: Read) -> list[str]:
    """The promises that a translated answer breaks, as words with what was read."""
    if got.status != 200:
        return [f"status {got.status}"]
    expect = exchange["expect"]
    choice = expect["choices"][0] if expect["choices"] else {"text": "", "tool_calls": [], "finish": "BLOCKED"}
    problems = []
    refusal = choice.get("refusal") or ""
    # A block without a word: Messages explains it beside the answer, and Responses has no other sign than a refusal.
    silent = meaning(exchange) in ("filter", "other") and not refusal
    if got.text + ("" if silent else got.refusal) != (choice["text"] or "") + refusal:
        problems.append(f"text {got.text[:60]!r} + {got.refusal[:40]!r}")
    # Paragraphs of a summary come one by one; white space between them is the dialect's.
    if (choice.get("reasoning") or "").split() and "".join(got.reasoning.split()) != "".join(
        choice["reasoning"].split()
    ):
        problems.append(f"reasoning {got.reasoning[:60]!r}")
    problems += _broken_calls(choice, client, got)
    problems += _broken_finish(exchange, client, got)
    return problems + _broken_usage(expect.get("usage") or {}, client, got)


def _broken_calls(choice: dict[str, Any], client: str, got: Read) -> list[str]:
    wanted = [(call["name"], parsed(call["arguments"])) for call in choice["tool_calls"]]
    if [name for name, _ in wanted] != [name for name, _ in got.calls]:
        return [f"calls {got.calls}"]
    for (name, arguments), (_, received) in zip(wanted, got.calls, strict=True):
        # Arguments that are no JSON object have no form in two of the dialects; there they arrive as text.
        odd = not isinstance(arguments, dict) and client in ("anthropic_messages", "gemini_generate")
        if not odd and arguments != received:
            return [f"arguments of {name}: {received}"]
    return []


def _broken_finish(exchange: dict[str, Any], client: str, got: Read) -> list[str]:
    if not exchange["expect"]["choices"]:
        return []
    choice = exchange["expect"]["choices"][0]
    means = meaning(exchange)
    if means == "other" or (means in ("stop", "filter") and choice.get("refusal")):
        return [] if got.finish else ["no finish"]
    return [] if got.finish in _WORDS[client][means] else [f"finish {got.finish} for {choice['finish']}"]


def _broken_usage(usage: dict[str, Any], client: str, got: Read) -> list[str]:
    if not usage or usage.get("note"):
        return []
    problems = []
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
        if name not in got.usage or (name == "reasoning_tokens" and client in _NO_REASONING_COUNT):
            continue
        if got.usage[name] != (usage.get(name) or 0):
            problems.append(f"{name} {got.usage[name]} for {usage.get(name)}")
    return problems if got.usage else ["no usage"]


def same_as_direct(exchange: dict[str, Any], direct: Read, got: Read) -> list[str]:
    """Where a client of the provider's own dialect reads other things through the gateway than without it."""
    if direct.status != 200:
        return [] if got.status != 200 else ["the provider's error became an answer"]
    wanted, found = vars(direct), vars(got)
    return [f"{name}: {found[name]!r} for {wanted[name]!r}"[:200] for name in wanted if wanted[name] != found[name]]
