"""What a user of each official SDK reads out of an answer, in one flat shape for comparing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types as gemini_types


@dataclass
class Read:
    """The first choice of an answer. Usage: everything read, everything generated, and the parts of both."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    status: int = 200  # of an error; 0 for one inside a stream


def parsed(arguments: Any) -> Any:
    """Arguments as a value; what is no JSON stays text, and no arguments are the same as empty ones."""
    try:
        return (json.loads(arguments or "{}") if isinstance(arguments, str) else arguments) or {}
    except ValueError:
        return arguments


class Sdks:
    """The official clients on one base URL (without /v1)."""

    def __init__(self, url: str, key: str) -> None:
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=30)
        once = gemini_types.HttpRetryOptions(attempts=1)
        options = gemini_types.HttpOptions(base_url=url, retry_options=once, timeout=30_000)
        self.gemini = genai.Client(api_key=key, http_options=options)

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()
        await self.gemini.aio.aclose()

    async def read(self, dialect: str, model: str, *, stream: bool) -> Read:
        """Ask and read. An error is a Read with its status."""
        reader = {
            "openai_chat": self._chat,
            "openai_responses": self._responses,
            "anthropic_messages": self._messages,
            "gemini_generate": self._gemini,
        }[dialect]
        try:
            return await reader(model, stream)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            return Read(status=error.status_code)
        except genai.errors.APIError as error:
            return Read(status=error.code)
        except (openai.APIError, anthropic.APIError, genai.errors.UnknownApiResponseError, ValueError) as error:
            return Read(status=0, finish=type(error).__name__)

    async def _chat(self, model: str, stream: bool) -> Read:
        messages: Any = [{"role": "user", "content": "play"}]
        got = Read()
        if not stream:
            whole = await self.openai.chat.completions.create(model=model, messages=messages)
            got.usage = _chat_usage(whole.usage)
            for choice in whole.choices[:1]:
                self._take_message(got, choice.message)
                got.calls = [_chat_call(call) for call in choice.message.tool_calls or []]
                got.finish = choice.finish_reason or ""
            return got
        calls: dict[int, list[str]] = {}
        options: Any = {"include_usage": True}
        async for chunk in await self.openai.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options=options
        ):
            got.usage = _chat_usage(chunk.usage) or got.usage
            for choice in chunk.choices or []:
                if (choice.index or 0) == 0:
                    self._take_message(got, choice.delta)
                    _take_calls(calls, choice.delta)
                    got.finish = choice.finish_reason or got.finish
        got.calls = [(name, parsed(arguments)) for name, arguments in calls.values()]
        return got

    def _take_message(self, got: Read, message: Any) -> None:
        content = getattr(message, "content", None)
        if isinstance(content, str):
            got.text += content
        for part in content if isinstance(content, list) else []:
            got.text += part.get("text") or "" if part.get("type") == "text" else ""
            for piece in part.get("thinking") or [] if part.get("type") == "thinking" else []:
                got.reasoning += piece.get("text") or ""
        got.refusal += getattr(message, "refusal", None) or ""
        got.reasoning += getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""

    async def _responses(self, model: str, stream: bool) -> Read:
        if not stream:
            response = await self.openai.responses.create(model=model, input="play")
            return _read_response(response, response.output)
        items: list[Any] = []
        last: Any = None
        async for event in await self.openai.responses.create(model=model, input="play", stream=True):
            if event.type == "response.output_item.done":
                items.append(event.item)
            elif event.type in ("response.completed", "response.incomplete"):
                last = event.response
        return Read(status=0) if last is None else _read_response(last, last.output or items)

    async def _messages(self, model: str, stream: bool) -> Read:
        messages: Any = [{"role": "user", "content": "play"}]
        if stream:
            async with self.anthropic.messages.stream(model=model, max_tokens=8000, messages=messages) as events:
                async for _ in events:
                    pass
                message: Any = await events.get_final_message()
        else:
            message = await self.anthropic.messages.create(model=model, max_tokens=8000, messages=messages)
        got = Read(finish=message.stop_reason or "")
        for block in message.content:
            if block.type == "text":
                got.text += block.text
            elif block.type == "thinking":
                got.reasoning += block.thinking
            elif block.type == "tool_use":
                got.calls.append((block.name, parsed(block.input)))
        usage = message.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        got.usage = {
            "input_tokens": (usage.input_tokens or 0) + read + written,
            "output_tokens": usage.output_tokens or 0,
            "cache_read_tokens": read,
            "cache_write_tokens": written,
        }
        return got

    async def _gemini(self, model: str, stream: bool) -> Read:
        got = Read()
        if stream:
            async for chunk in await self.gemini.aio.models.generate_content_stream(model=model, contents="play"):
                _take_gemini(got, chunk)
        else:
            _take_gemini(got, await self.gemini.aio.models.generate_content(model=model, contents="play"))
        return got


def _read_response(response: Any, items: list[Any]) -> Read:
    got = Read(finish=response.status or "")
    for item in items:
        if item.type == "message":
            got.text += "".join(part.text or "" for part in item.content if part.type == "output_text")
            got.refusal += "".join(part.refusal for part in item.content if part.type == "refusal")
        elif item.type == "reasoning":
            got.reasoning += "".join(part.text for part in [*(item.summary or []), *(item.content or [])])
        elif item.type == "function_call":
            got.calls.append((item.name, parsed(item.arguments)))
        elif item.type == "custom_tool_call":
            got.calls.append((item.name, item.input))
    if response.incomplete_details is not None:
        got.finish += f":{response.incomplete_details.reason}"
    usage = response.usage
    if usage is not None:
        got.usage = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": getattr(usage.input_tokens_details, "cached_tokens", 0) or 0,
            "reasoning_tokens": getattr(usage.output_tokens_details, "reasoning_tokens", 0) or 0,
        }
    return got


def _chat_usage(usage: Any) -> dict[str, int]:
    if usage is None:
        return {}
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "input_tokens": usage.prompt_tokens or 0,
        "output_tokens": usage.completion_tokens or 0,
        "cache_read_tokens": getattr(given, "cached_tokens", 0) or 0,
        "reasoning_tokens": getattr(made, "reasoning_tokens", 0) or 0,
    }


def _chat_call(call: Any) -> tuple[str, Any]:
    if call.type == "custom":
        return call.custom.name, call.custom.input
    return call.function.name, parsed(call.function.arguments)


def _take_calls(calls: dict[int, list[str]], delta: Any) -> None:
    for piece in getattr(delta, "tool_calls", None) or []:
        call = calls.setdefault(len(calls) if piece.index is None else piece.index, ["", ""])
        function = piece.function
        call[0] = call[0] or (function and function.name) or ""
        call[1] += (function and function.arguments) or ""


def _take_gemini(got: Read, chunk: Any) -> None:
    for candidate in chunk.candidates or []:
        if candidate.index:
            continue
        for part in (candidate.content.parts if candidate.content else None) or []:
            if part.text is not None:
                got.reasoning += part.text if part.thought else ""
                got.text += "" if part.thought else part.text
            if part.function_call:
                got.calls.append((part.function_call.name, parsed(part.function_call.args)))
        reason = candidate.finish_reason
        got.finish = str(getattr(reason, "value", reason) or got.finish)
    feedback = chunk.prompt_feedback
    if feedback is not None and feedback.block_reason and not chunk.candidates:
        got.finish = "BLOCKED:" + str(getattr(feedback.block_reason, "value", feedback.block_reason))
    usage = chunk.usage_metadata
    if usage is not None and usage.model_dump(exclude_none=True):
        thoughts = usage.thoughts_token_count or 0
        got.usage = {
            "input_tokens": (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
            "output_tokens": (usage.candidates_token_count or 0) + thoughts,
            "cache_read_tokens": usage.cached_content_token_count or 0,
            "reasoning_tokens": thoughts,
        }
