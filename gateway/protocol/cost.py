"""The charge, put into the usage of an answer that is passed on as bytes.

The figure goes just behind the opening brace of the last usage object; a quotation mark inside a text is escaped in
JSON, so what looks like that object is one.
"""

from __future__ import annotations

import re

_USAGE = {
    "openai_chat": "usage",
    "openai_completions": "usage",
    "openai_responses": "usage",
    "anthropic_messages": "usage",
    "gemini_generate": "usageMetadata",
}
_OPENINGS = {dialect: (f'"{name}":{{'.encode(), f'"{name}": {{'.encode()) for dialect, name in _USAGE.items()}
_END_OF_USAGE = 4096  # a usage object is shorter
_COST = re.compile(rb'"cost"\s*:\s*(?:null|-?[0-9.eE+-]+)')


def with_cost(dialect: str, answer: bytes, usd: bytes) -> bytes:
    """`answer`: a whole reply, or the last events of a stream; `usd`: a JSON number. Unchanged where there is no usage.

    A cost that the provider wrote itself, which is what we pay, gives way to ours.
    """
    place = max((answer.rfind(opening) + len(opening) for opening in _found(dialect, answer)), default=-1)
    if place < 0:
        return answer
    rest = answer[place : place + _END_OF_USAGE]
    own = _COST.search(rest)
    if own is not None and rest.find(b"}") > own.start():
        return b"".join((answer[: place + own.start()], b'"cost":', usd, answer[place + own.end() :]))
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b"".join((answer[:place], b'"cost":', usd, comma, answer[place:]))


def _found(dialect: str, answer: bytes) -> list[bytes]:
    return [opening for opening in _OPENINGS.get(dialect, ()) if opening in answer]
