"""What a request needs of a deployment, and the few facts by which its task is guessed. No field can hold content."""

from __future__ import annotations

from typing import Final, NamedTuple

FLAGS: Final = frozenset(("stream", "images", "audio", "video", "files", "tools", "structured_output"))
NO_THOUGHT: Final = frozenset(("", "none"))


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

    def has(self, name: str) -> bool:
        """Whether a rule's condition of that name holds; one that is not known never does."""
        if name == "reasoning":
            return self.reasoning not in NO_THOUGHT
        return name in FLAGS and bool(getattr(self, name))
