"""The charge, put into the usage of an answer that is passed on as bytes.

The figure goes just behind the opening brace of the usage object, and nothing else changes. Objects of that name may
stand elsewhere too, in the input of a tool call or in a tool's schema: only one behind which nothing follows but the
end of the answer's own object is taken for the real one. Where that is not plain to see, the answer is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.protocol.codec import MAX_EVENT_BYTES
from gateway.protocol.json_text import dump, load_lenient
from gateway.protocol.sse import SseDecoder, encode_event

_USAGE = {
    "openai_chat": "usage",
    "openai_responses": "usage",
    "anthropic_messages": "usage",
    "gemini_generate": "usageMetadata",
}
# Where the events of a stream have it, if not at their top.
_OUTER = {"openai_responses": "response"}
_MOST_LOOKED_AT = 4
_LONGEST_ENDING = 64 * 1024
_BEFORE_NAME = b"{, \t\r\n"  # a quotation mark behind anything else does not begin a name

_TEXT = rb'"(?:[^"\\]++|\\.)*+"'


def _object_of(depth: int) -> bytes:
    inside = rb'[^{}"]++|' + _TEXT
    if depth:
        inside += b"|" + _object_of(depth - 1)
    return rb"\{(?:" + inside + rb")*+\}"


_ANY_OBJECT = _object_of(4)
_VALUE = (
    rb"(?:" + _TEXT + b"|" + _ANY_OBJECT + rb"|[-+.\w]++|\[(?:[^][{}\"]++|" + _TEXT + b"|" + _ANY_OBJECT + rb")*+\])"
)
_MEMBERS = rb"(?:\s*+,\s*+" + _TEXT + rb"\s*+:\s*+" + _VALUE + rb")*+\s*+"
_OBJECT = re.compile(_ANY_OBJECT)
_OPENING = re.compile(rb"\s*+:\s*+\{")
# What follows the usage object, by how many objects it stands in.
_ENDINGS = (re.compile(_MEMBERS + rb"\}\s*+\Z"), re.compile(_MEMBERS + rb"\}" + _MEMBERS + rb"\}\s*+\Z"))


def with_cost(dialect: str, answer: bytes, usd: bytes, details: bytes | None = None) -> bytes:
    """`answer`: a whole reply, or the last events of a stream; `usd`: a JSON number; `details`: a JSON object.

    Unchanged where there is no usage. Costs that the provider wrote itself, which is what we pay, give way to ours.
    """
    name = _USAGE.get(dialect)
    if name is None:
        return answer
    cost = b'"cost":' + usd + (b',"cost_details":' + details if details else b"")
    quoted = f'"{name}"'.encode()
    is_stream = not answer[:16].lstrip().startswith(b"{")
    ending = _ENDINGS[1 if is_stream and dialect in _OUTER else 0]
    place, doubtful = len(answer), False
    for _ in range(_MOST_LOOKED_AT):
        place = answer.rfind(quoted, 0, place)
        if place < 0:
            break
        start = _brace_after(answer, place, len(quoted))
        if start < 0:
            continue
        doubtful = True
        found = _OBJECT.match(answer, start)
        stop = len(answer) if not is_stream else _line_end(answer, start)
        if found is not None and stop - found.end() < _LONGEST_ENDING and ending.match(answer, found.end(), stop):
            return answer[:start] + _priced(found.group(), cost) + answer[found.end() :]
    if not doubtful:
        return answer
    return _parsed_stream(answer, name, _OUTER.get(dialect), cost) if is_stream else _parsed(answer, name, cost)


def _brace_after(answer: bytes, place: int, size: int) -> int:
    """Where the object begins that a field of this name holds; -1 for one that holds none, or is no field."""
    if place and answer[place - 1] not in _BEFORE_NAME:
        return -1
    found = _OPENING.match(answer, place + size)
    return found.end() - 1 if found else -1


def _line_end(answer: bytes, place: int) -> int:
    """An event's JSON stands in one line."""
    end = answer.find(b"\n", place)
    return end if end >= 0 else len(answer)


def _priced(usage: bytes, cost: bytes) -> bytes:
    if b"cost" in usage or b"is_byok" in usage:
        kept = load_lenient(usage)
        usage = dump(_without_costs(kept)) if isinstance(kept, dict) else usage
    comma = b"" if usage[1:].lstrip().startswith(b"}") else b","
    return b"{" + cost + comma + usage[1:]


def _without_costs(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if "cost" not in name and name != "is_byok"}


def _parsed(answer: bytes, name: str, cost: bytes) -> bytes:
    value = load_lenient(answer)
    priced = _with_priced(value, name, cost)
    return answer if priced is None else dump(priced)


def _with_priced(holder: Any, name: str, cost: bytes) -> dict[str, Any] | None:
    """The object with the cost in its usage; None where it has none."""
    usage = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(usage, dict):
        return None
    return {**holder, name: orjson.Fragment(_priced(dump(usage), cost))}


def _parsed_stream(answer: bytes, name: str, outer: str | None, cost: bytes) -> bytes:
    decoder = SseDecoder(MAX_EVENT_BYTES)
    events = [*decoder.feed(answer), *decoder.end()]
    raws = [event.raw for event in events]
    for index in reversed(range(len(events))):
        data = events[index].data
        value = load_lenient(data) if data else None
        if outer is None:
            priced = _with_priced(value, name, cost)
        else:
            inner = _with_priced(value.get(outer), name, cost) if isinstance(value, dict) else None
            priced = None if inner is None or value is None else {**value, outer: inner}
        if priced is not None:
            raws[index] = encode_event(dump(priced), events[index].event)
            break
    return b"".join(raws)
