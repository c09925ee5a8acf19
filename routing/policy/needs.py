"""What a request needs of a deployment, and the few facts by which its task is guessed. No field can hold content."""

from __future__ import annotations

from typing import NamedTuple


class Needs(NamedTuple):
    """`prompt_tokens` is the upper estimate. `reasoning`: "" (not asked for) or the effort: none, minimal, low, medium,
    high, xhigh, max. `parameters` are the optional request parameters in use, in the catalogue's words. `task` is a
    guess: chat, code, long or data; "" where nobody looked."""

    endpoint: str  # the client's dialect
    stream: bool = False
    prompt_tokens: int = 0
    max_output_tokens: int | None = None
    images: bool = False
    audio: bool = False
    video: bool = False
    files: bool = False
    tools: bool = False
    structured_output: bool = False
    reasoning: str = ""
    parameters: frozenset[str] = frozenset()
    task: str = ""
