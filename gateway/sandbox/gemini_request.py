"""Reading a Gemini generateContent request as strictly as the vendor does where a translation may go wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.sandbox.gemini_contents import Content, read_contents, read_parts
from gateway.sandbox.gemini_schema import bad_argument, check_fields, json_schema, spelled
from gateway.sandbox.question import Json, Question, Refused, Tool, check_temperature, whole_number
from gateway.sandbox.tokens import ATTACHMENT_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, Segment, segment
from gateway.sandbox.wire import as_text

# `model` and `stream` stand in the path; the application puts them here.
_BODY = frozenset(
    (
        *("model", "stream", "contents", "systemInstruction", "tools", "toolConfig", "safetySettings"),
        *("generationConfig", "cachedContent", "serviceTier", "store", "labels"),
    )
)
_CONFIG = frozenset(
    (
        *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed"),
        *("responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities", "thinkingConfig"),
        *("presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "speechConfig", "imageConfig"),
        *("mediaResolution", "audioTimestamp", "enableEnhancedCivicAnswers"),
    )
)
_TOOL = frozenset(
    (
        *("functionDeclarations", "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext"),
        *("googleMaps", "computerUse", "fileSearch"),
    )
)
_DECLARATION = frozenset(
    ("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior")
)
_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_BAD_NAME = (
    "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), "
    "underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
)


def read(body: Json) -> Question:
    """Raises Refused with the vendor's words."""
    fields = check_fields(body, _BODY, "")
    contents = read_contents(fields.get("contents"))
    config = check_fields(fields.get("generationConfig", {}), _CONFIG, "generation_config")
    tools = tuple(_tools(fields.get("tools", [])))
    may_call, forced = _tool_choice(fields.get("toolConfig", {}), tools)
    reasoning, thoughts = _thinking(config)
    check_temperature(config, 2)
    last_user = next((parts for role, parts in reversed(contents) if role == "user"), [])
    return Question(
        model=str(fields["model"]),
        text=_text(last_user),
        images=sum(1 for part in last_user if _is_image(part)),
        results=tuple(_results(contents)),
        segments=tuple(_segments(fields, contents)),
        tools=tools,
        may_call=may_call,
        forced=forced,
        max_tokens=whole_number(config, "maxOutputTokens"),
        stop=_stop(config),
        schema=_schema(config),
        choices=whole_number(config, "candidateCount", most=8) or 1,
        reasoning=reasoning,
        thoughts=thoughts,
        stream=fields.get("stream") is True,
    )


def read_prompt(body: Json) -> Question:
    """A request to count tokens: contents alone, or a whole request inside."""
    inner = spelled(body).get("generateContentRequest")
    if isinstance(inner, dict):
        return read({**inner, "model": body.get("model")})
    return read({name: value for name, value in body.items() if name in ("contents", "model")})


def _text(parts: list[dict[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _is_image(part: Json) -> bool:
    data = spelled(part.get("inlineData") or part.get("fileData") or {})
    return str(data.get("mimeType", "")).startswith("image/")


def _results(contents: list[Content]) -> Iterator[str]:
    """What the tools answered last; a single `result`, `output` or `error` is taken out of its object."""
    for part in contents[-1][1]:
        if "functionResponse" in part:
            response = part["functionResponse"]["response"]
            key = next(iter(response)) if len(response) == 1 else None
            inner = response[key] if key in ("result", "output", "error", "content") else response
            yield inner if isinstance(inner, str) else as_text(inner)


def _segments(fields: Json, contents: list[Content]) -> Iterator[Segment]:
    """The prompt in the order in which it is cached: tools, schema, system, contents."""
    config = spelled(fields.get("generationConfig") or {})
    for found in (fields.get("tools"), config.get("responseSchema"), config.get("responseJsonSchema")):
        if found:
            yield segment(as_text(found))
    if "systemInstruction" in fields:
        instruction = spelled(fields["systemInstruction"])
        yield segment(_text(read_parts(instruction.get("parts"), "system_instruction")))
    for role, parts in contents:
        yield segment(role, extra_tokens=MESSAGE_TOKENS - 1)
        yield from (_part_segment(part) for part in parts)


def _part_segment(part: dict[str, Any]) -> Segment:
    if "text" in part:
        return segment(part["text"])
    if "inlineData" in part or "fileData" in part:
        return Segment(segment(as_text(part)).digest, IMAGE_TOKENS if _is_image(part) else ATTACHMENT_TOKENS)
    data = {name: value for name, value in part.items() if name != "thoughtSignature"}
    if "functionResponse" in data:
        inner = data["functionResponse"].pop("parts", None) or []
        return segment(as_text(data), extra_tokens=len(inner) * IMAGE_TOKENS)
    return segment(as_text(data))


def _tools(given: Any) -> Iterator[Tool]:
    names: set[str] = set()
    for at, one in enumerate(given if isinstance(given, list) else [given]):
        tool = check_fields(one, _TOOL, f"tools[{at}]")
        for number, declared in enumerate(tool.get("functionDeclarations") or []):
            place = f"tools[{at}].function_declarations[{number}]"
            found = _declared(check_fields(declared, _DECLARATION, place), place)
            if found.name in names:
                raise bad_argument(f"Duplicate function declaration found: {found.name}")
            names.add(found.name)
            yield found


def _declared(function: dict[str, Any], place: str) -> Tool:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_argument(f"* GenerateContentRequest.{place}.name: {_BAD_NAME}")
    if "parameters" in function and "parametersJsonSchema" in function:
        raise bad_argument(f"* {place}: only one of parameters and parameters_json_schema must be set.")
    if "parametersJsonSchema" in function:
        return Tool(name, function["parametersJsonSchema"])
    if "parameters" not in function:
        return Tool(name, {"type": "object", "properties": {}})
    return Tool(name, json_schema(function["parameters"], f"{place}.parameters"))


def _tool_choice(given: Any, tools: tuple[Tool, ...]) -> tuple[bool, str | None]:
    fields = check_fields(given, frozenset(("functionCallingConfig", "retrievalConfig")), "tool_config")
    known = frozenset(("mode", "allowedFunctionNames"))
    config = check_fields(fields.get("functionCallingConfig", {}), known, "tool_config.function_calling_config")
    mode, allowed = config.get("mode", "AUTO"), config.get("allowedFunctionNames") or []
    if str(mode).upper() not in _MODES:
        raise bad_argument(f"Invalid value at 'tool_config.function_calling_config.mode', \"{str(mode)[:40]}\"")
    mode = str(mode).upper()
    if mode == "ANY" and not tools:
        raise bad_argument("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise bad_argument("Allowed function names should only be set when function calling mode is ANY or VALIDATED.")
    names = [tool.name for tool in tools]
    for name in allowed:
        if name not in names:
            raise bad_argument(f"Allowed function name {str(name)[:80]} is not among the function declarations.")
    return mode != "NONE", allowed[0] if len(allowed) == 1 and mode == "ANY" else None


def _stop(config: Json) -> tuple[str, ...]:
    words = config.get("stopSequences", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise bad_argument("Invalid value at 'generation_config.stop_sequences' (TYPE_STRING)")
    if len(words) > 5:
        raise bad_argument("* GenerateContentRequest.generation_config.stop_sequences: at most 5 are allowed")
    return tuple(words)


def _schema(config: Json) -> Json | None:
    kind = config.get("responseMimeType", "text/plain")
    if kind not in ("text/plain", "application/json", "text/x.enum"):
        raise bad_argument(
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`, "
            "`application/json`, `application/xml`, `application/yaml` and `text/x.enum`."
        )
    both = [config[name] for name in ("responseSchema", "responseJsonSchema") if name in config]
    if len(both) == 2:
        raise bad_argument("Only one of response_schema and response_json_schema must be set.")
    if both and kind == "text/plain":
        raise bad_argument("response_mime_type must be application/json when a response schema is set.")
    if "responseSchema" in config:
        return json_schema(config["responseSchema"], "generation_config.response_schema")
    if "responseJsonSchema" in config:
        schema: Json = config["responseJsonSchema"]
        return schema
    return {} if kind == "application/json" else None


def _thinking(config: Json) -> tuple[bool, bool]:
    """Does it think, and are the thoughts shown."""
    known = frozenset(("thinkingBudget", "thinkingLevel", "includeThoughts"))
    thinking = check_fields(config.get("thinkingConfig", {}), known, "generation_config.thinking_config")
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    if budget is not None and level is not None:
        raise bad_argument("You can only set only one of thinking budget and thinking level.")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or not -1 <= budget <= 32768):
        raise Refused(
            400, f"The thinking budget {str(budget)[:20]} is invalid. Please choose a value between -1 and 32768."
        )
    if level is not None and str(level).upper() not in _LEVELS:
        raise bad_argument(
            f"Invalid value at 'generation_config.thinking_config.thinking_level', \"{str(level)[:40]}\""
        )
    return budget != 0, thinking.get("includeThoughts") is True
