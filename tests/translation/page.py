"""docs/translation.md from the probes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.protocol.dialects import CLIENT_CODECS, CODECS
from gateway.protocol.problem import ProtocolError
from tests.translation import judge
from tests.translation.probes import ANSWERED, ASKED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "translation.md"
NAMES = {
    "openai_chat": "Chat Completions",
    "openai_responses": "Responses",
    "anthropic_messages": "Messages",
    "gemini_generate": "Gemini",
}
_HEAD = """# What a translation carries

This page is written by `python -m tests.translation`: each line is a small request or reply, sent through the real
codecs and read with the other side's own. A test fails when the page is out of date.

A caller and a provider of the same dialect understand each other without us: what is sent passes through unchanged,
whatever it is. The tables are for a provider of another dialect.

| Word | Means |
|---|---|
| yes | arrives, and is read there as it was meant |
| other form | arrives, in the nearest form that the other dialect has |
| no: `name` | does not arrive; the name is in the header `x-router-dropped`, and strict mode refuses the request |
| in part: `name` | arrives but for what is named |
| left out | does not arrive and is not named, since the answer does not depend on it |
| refused | a 400 that says why |

A line that is missing in a table is something that the first side's dialect cannot say. Names of models matter to the
encoders; here they are {models}.
"""


def page() -> str:
    models = ", ".join(f"`{judge.MODELS[name]}`" for name in CODECS)
    pieces = [_HEAD.format(models=models)]
    for caller in CODECS:
        others = [name for name in CODECS if name != caller]
        pieces.append(f"\n## Callers of {_name(caller)}\n\nRequests, by the dialect of the provider:\n\n")
        pieces.append(_table(others, [(probe.name, _asked(probe, caller)) for probe in ASKED]))
        pieces.append("\nReplies, by the dialect of the provider:\n\n")
        rows = [(probe.name, _answered(probe, caller)) for probe in ANSWERED]
        rows.append(("signed reasoning, back at its maker", _returned(caller)))
        pieces.append(_table(others, rows))
    pieces.append(_completions())
    return "".join(pieces)


Cell = Callable[[str], str | None]


def _asked(probe: judge.Asked, caller: str) -> Cell:
    return lambda other: judge.asked(probe, caller, other)


def _answered(probe: judge.Answered, caller: str) -> Cell:
    return lambda other: judge.answered(probe, caller, other)


def _returned(caller: str) -> Cell:
    return lambda other: judge.signature_returns(caller, other)


def _table(others: list[str], rows: list[tuple[str, Cell]]) -> str:
    lines = ["| | " + " | ".join(_name(other) for other in others) + " |", "|---|" + "---|" * len(others)]
    for name, cell in rows:
        cells = [cell(other) for other in others]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(word or "" for word in cells) + " |")
    return "\n".join(lines) + "\n"


def _completions() -> str:
    """The legacy dialect has no provider's side: its requests are told by what is dropped."""
    body = b'{"model":"m","prompt":"Hello","suffix":"x","echo":true,"logprobs":1,"best_of":2,"logit_bias":{"1":1}}'
    conversation = CLIENT_CODECS["openai_completions"].decode_request(body)
    lines = []
    for provider in CODECS:
        try:
            dropped = judge.written(conversation, provider)[1]
        except ProtocolError:
            continue
        lines.append(f"- {_name(provider)}: " + ", ".join(f"`{name}`" for name in dropped))
    head = "\n## Callers of the legacy Completions\n\nThe prompt is what the user says. Of the fields "
    fields = "`suffix`, `echo`, `logprobs`, `best_of` and `logit_bias` these do not arrive:\n\n"
    return head + fields + "\n".join(lines) + "\n"


def _name(dialect: str) -> str:
    return NAMES.get(dialect, dialect)
