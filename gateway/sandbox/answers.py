"""What the sandbox says to a question: always the same to the same. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal

from gateway.sandbox.question import Question, Tool
from gateway.sandbox.samples import sample
from gateway.sandbox.script import Script
from gateway.sandbox.tokens import PromptTokens, pieces
from gateway.sandbox.writing import writing_call

QUOTED = 200  # characters of the question that are echoed
MOST_WORDS = 4096  # of a measured text; its usage may report more
UNLIMITED = 1024  # stands for the output limit where a measured answer has none
_WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "magna", "velit", "culpa", "nulla", "tempor")
_THOUGHTS = "The user wrote to the sandbox . I look at the last message and answer it in a friendly way ."


@dataclass(frozen=True, slots=True)
class Block:
    """A run of the answer. The pieces of a call are its arguments: JSON text, or free text for a custom tool.

    The only piece of a vector is the text that it is computed from.
    """

    kind: Literal["reasoning", "text", "call", "vector"]
    pieces: tuple[str, ...]
    tool: Tool | None = None

    @property
    def content(self) -> str:
        return "".join(self.pieces)

    @property
    def name(self) -> str:
        return self.tool.name if self.tool else ""

    @property
    def custom(self) -> bool:
        return self.tool is not None and self.tool.custom


@dataclass(frozen=True, slots=True)
class Answer:
    """`finish` is an OpenAI finish word, "stop_sequence", or "none"; token counts are of one choice."""

    blocks: tuple[Block, ...]
    finish: str
    output_tokens: int
    reasoning_tokens: int = 0
    stop_sequence: str | None = None

    def times(self, factor: int) -> Answer:
        """The same answer that says it took so many times the tokens."""
        if factor == 1:
            return self
        return replace(self, output_tokens=self.output_tokens * factor, reasoning_tokens=self.reasoning_tokens * factor)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with all that a dialect needs to write it. `seed` is hex from a hash of the request."""

    seed: str
    question: Question
    answer: Answer
    prompt: PromptTokens
    usage: bool = True


# Fixed, so that a limit which scarce credit lowered does not change the cost.
QUARTER = 25


EMPTY = Answer((), "stop", 0)


def compose(question: Question, script: Script) -> Answer:
    """The whole answer, cut at a stop sequence and at the output limit."""
    if script.behaviour == "embedding":
        return Answer(tuple(Block("vector", (text,)) for text in question.texts), "stop", 0)
    if script.behaviour in ("exact", "quarter"):
        answer = _measured(question, script)
    else:
        blocks, stopped = _stopped(_blocks(question, script), question.stop)
        answer = _limited(blocks, question.max_tokens if script.limited else None)
        if stopped is not None and answer.finish == "stop":
            answer = replace(answer, finish="stop_sequence", stop_sequence=stopped)
    return replace(answer, finish=script.finish) if script.finish else answer


def _measured(question: Question, script: Script) -> Answer:
    """As many output tokens as the limit says, or a fixed quarter of a limit of a hundred."""
    limit = question.max_tokens or UNLIMITED
    tokens = limit if script.behaviour == "exact" else min(limit, QUARTER)
    finish = "length" if tokens == question.max_tokens else "stop"
    return Answer((Block("text", _words(min(tokens, MOST_WORDS))),), finish, tokens)


def _blocks(question: Question, script: Script) -> tuple[Block, ...]:
    blocks = []
    thoughts = _thoughts(question, script)
    if thoughts:
        blocks.append(Block("reasoning", thoughts))
    calls = _calls(question) if script.behaviour == "tools" else ()
    if calls:
        return (*blocks, *calls)
    text = _words(script.words) if script.words is not None else pieces(_text(question))
    return (*blocks, Block("text", text))


def _thoughts(question: Question, script: Script) -> tuple[str, ...]:
    if script.reasoning is not None:
        return _words(script.reasoning)
    return pieces(_THOUGHTS) if script.behaviour == "reasoning" and question.reasoning else ()


def _calls(question: Question) -> tuple[Block, ...]:
    """None after a result; the call that writes a file where the text orders one; else sample calls."""
    if not question.tools or not question.may_call or question.results:
        return ()
    writing = writing_call(question.text, question.tools) if question.forced is None else None
    if writing is not None:
        return (Block("call", pieces(writing.arguments), writing.tool),)
    return tuple(Block("call", pieces(_arguments(tool)), tool) for tool in _called(question))


def _arguments(tool: Tool) -> str:
    return "sample input" if tool.custom else _as_json(sample(tool.schema))


def _called(question: Question) -> tuple[Tool, ...]:
    """The tools to call: the forced one, both if the text asks for both, else the first."""
    if question.forced is not None:
        return tuple(tool for tool in question.tools if tool.name == question.forced)[:1]
    both = question.parallel and "both" in question.text.lower()
    return question.tools[: 2 if both else 1]


def _text(question: Question) -> str:
    if question.schema is not None:
        return _as_json(sample(question.schema) if question.schema else {"answer": _echo(question)})
    return _echo(question)


def _echo(question: Question) -> str:
    if question.results:
        quoted = ", ".join(f'"{result[:QUOTED]}"' for result in question.results)
        return f"The tool answered: {quoted}."
    seen = {0: "", 1: " I see an image."}.get(question.images, f" I see {question.images} images.")
    said = question.text.strip()[:QUOTED]
    return (
        f"Hello from the sandbox.{seen} You said: {said}"
        if said
        else f"Hello from the sandbox.{seen} You said nothing."
    )


def _words(amount: int) -> tuple[str, ...]:
    return tuple(word if at == 0 else f" {word}" for at, word in enumerate(islice(cycle(_WORDS), amount)))


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _stopped(blocks: tuple[Block, ...], stop: tuple[str, ...]) -> tuple[tuple[Block, ...], str | None]:
    """Cut the text before the first stop sequence in it, and say which one it was."""
    if not blocks or blocks[-1].kind != "text":
        return blocks, None
    text = blocks[-1].content
    found = sorted((text.find(word), word) for word in stop if word and word in text)
    if not found:
        return blocks, None
    at, word = found[0]
    return (*blocks[:-1], Block("text", pieces(text[:at]))), word


def _limited(blocks: tuple[Block, ...], limit: int | None) -> Answer:
    """Keep the first `limit` tokens. A call that is cut keeps arguments that are no JSON, as with a real model."""
    kept: list[Block] = []
    left = limit if limit is not None else sum(len(block.pieces) for block in blocks)
    for block in blocks:
        if left > 0 or not block.pieces:
            kept.append(replace(block, pieces=block.pieces[:left]))
        left -= len(block.pieces)
    tokens = sum(len(block.pieces) for block in kept)
    reasoning = sum(len(block.pieces) for block in kept if block.kind == "reasoning")
    finish = "length" if left < 0 else "tool_calls" if any(block.kind == "call" for block in kept) else "stop"
    return Answer(tuple(kept), finish, tokens, reasoning)
