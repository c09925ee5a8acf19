"""Where mutation begins: the recorded exchanges, and requests and streams by hand that use much of each dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Reasoning, Refusal, Text, ToolCall
from gateway.protocol.dialects import CODECS
from gateway.protocol.reply import Choice, FinishReason, Reply
from tests.gateway.protocol.properties import meaning

RECORDED = Path(__file__).resolve().parents[1] / "wire" / "exchanges"
LONGEST = 20_000
_CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
_FUNCTION = {"name": "f", "description": "d", "parameters": _SCHEMA}
_SIGNED = {"type": "reasoning.text", "text": "t", "signature": "q", "format": "anthropic-claude-v1"}
_CALLS = (ToolCall("c1", "f", '{"a":"b"}'), ToolCall("c2", "g", "{}"))
_RESULT = [{"type": "text", "text": "r"}]
_THOUGHT = [{"type": "summary_text", "text": "t"}]
_OUTPUT = [{"type": "output_text", "text": "x", "annotations": []}]
_PNG = "data:image/png;base64,AAAA"
_IMAGE = {"type": "image_url", "image_url": {"url": _PNG}}
_INPUT = {"type": "input_image", "image_url": _PNG}

REQUESTS: list[dict[str, Any]] = [
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "hi"}, _IMAGE],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "t", "signature": "q", "format": "anthropic-claude-v1"}
                ],
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}]},
        ],
        "tools": [{"type": "function", "function": _FUNCTION}, {"type": "custom", "custom": {"name": "c"}}],
        "tool_choice": "auto",
        "temperature": 0.5,
        "max_tokens": 50,
        "stop": ["x"],
        "n": 2,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "strict": True}},
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
        "metadata": {"k": "v"},
        "provider": {"only": ["x"]},
    },
    {
        "model": "m",
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "q"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [{"type": "text", "text": "r"}],
                        "is_error": True,
                    },
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                    {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}, "title": "t"},
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": _SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": _SCHEMA}},
        "metadata": {"user_id": "u"},
        "stop_sequences": ["x"],
        "stream": True,
    },
    {
        "model": "m",
        "instructions": "s",
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "hi"}, _INPUT],
            },
            {
                "type": "reasoning",
                "id": "rs",
                "summary": _THOUGHT,
                "encrypted_content": "e",
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "r"}]},
            {"type": "custom_tool_call", "call_id": "c2", "name": "c", "input": "free"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "r"},
            {
                "type": "message",
                "role": "assistant",
                "content": _OUTPUT,
            },
        ],
        "tools": [
            {"type": "function", **_FUNCTION, "strict": True},
            {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", **_FUNCTION, "defer_loading": True}]},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 99,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    },
    {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
            {
                "role": "model",
                "parts": [
                    {"text": "t", "thought": True, "thoughtSignature": "QUJD"},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QUJD"},
                ],
            },
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"output": "r"}}}]},
            {"parts": [{"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.example/a.pdf"}}]},
        ],
        "tools": [{"functionDeclarations": [_FUNCTION]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "temperature": 0.5,
            "topK": 3,
            "maxOutputTokens": 99,
            "stopSequences": ["x"],
            "candidateCount": 2,
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True, "thinkingLevel": "LOW"},
        },
        "safetySettings": [{"category": "x", "threshold": "y"}],
    },
    {"model": "m", "prompt": ["hi"], "max_tokens": 5, "suffix": "x", "echo": True, "logprobs": 1, "best_of": 2, "n": 2},
    {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3, "user": "u"},
    {"model": "m", "input": [[1, 2], [3]], "encoding_format": "float"},
]

EMBEDDINGS: list[bytes] = [
    b'{"object":"list","data":[{"index":0,"embedding":[0.5,1]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}',
    b'{"data":[{"embedding":"AAAAPwAAgD8="}],"usage":{"total_tokens":3}}',
]

_REPLY = Reply(
    (
        Choice(
            0,
            (
                Reasoning("hm"),
                Text("Hello é😀\n"),
                Refusal("no"),
                ToolCall("c1", "f", '{"a":"b"}'),
                ToolCall("c2", "g", "{}"),
            ),
            FinishReason.TOOL_CALLS,
        ),
    )
)
_ERRORS = [
    b'{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded","param":null}}',
    b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}',
    b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"25s","reason":"QUOTA"}]}}]',
    b'{"detail":"m","status_code":503,"error":{"metadata":{"raw":"x"},"innererror":{"code":"c"}}}',
]


def requests() -> list[bytes]:
    bodies = [item.get("request", {}).get("body") for item in _recorded()]
    return [_dump(body) for body in (*REQUESTS, *bodies) if isinstance(body, dict)]


def replies() -> list[bytes]:
    """Whole replies of every dialect, and errors."""
    ours = [codec.encode_reply(_REPLY, _CONTEXT) for codec in CODECS.values()]
    bodies = [item["response"].get("body") for item in _recorded()]
    return [*ours, *_ERRORS, *(_dump(body) for body in bodies if body is not None)]


def streams() -> list[bytes]:
    ours = [meaning.written(codec, meaning.story(_REPLY, 3)) for codec in CODECS.values()]
    texts = [item["response"].get("sse") for item in _recorded()]
    theirs = [text.encode() for text in texts if text]
    errors = [b"data: " + error + b"\n\n" for error in _ERRORS]
    return [*ours, *errors, *(stream[:LONGEST] for stream in theirs)]


def _recorded() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDED.glob("*.json"))]


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
