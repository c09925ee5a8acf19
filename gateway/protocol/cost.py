"""The charge, put into the usage of an answer that is passed on as bytes; and costs that the provider wrote, left out.

The figure goes just behind the opening brace of the usage object, and nothing else changes. Objects of that name may
stand elsewhere too, in the input of a tool call or in a tool's schema: only one behind which nothing follows but the
end of the answer's own object is taken for the real one. Where that is not plain to see, the answer is walked through.

What a provider calls a cost is what we pay. It stands in usage objects, also of events before the last (Perplexity),
or beside them (Venice), and goes to no client from anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import orjson

from gateway.protocol.codec import MAX_EVENT_BYTES
from gateway.protocol.json_surgery import Path, place_of, without_members
from gateway.protocol.json_text import load_lenient
from gateway.protocol.sse import SseDecoder, SseEvent, encode_event

_USAGE = {
    "openai_chat": "usage",
    "openai_responses": "usage",
    "anthropic_messages": "usage",
    "gemini_generate": "usageMetadata",
    "openai_embeddings": "usage",
}
_QUOTED = {dialect: f'"{name}"'.encode() for dialect, name in _USAGE.items()}
# Usage that clients find where there is none at its usual place: Kimi's, in the last chunk of a stream.
_ELSEWHERE: Mapping[str, Path] = MappingProxyType({"openai_chat": ("choices", 0, "usage")})
# Where the events of a stream have it, if not at their top.
_OUTER = {"openai_responses": "response"}
_MOST_LOOKED_AT = 4
_LONGEST_ENDING = 64 * 1024
_OPENED = (b'{"":', b'{"":{"":')  # what the usage stands in, by whether that is within another object
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
# Costs as members of an object: the first ones, and any other with the comma before it. In a text quotation marks are
# escaped, so none is found there.
_COST = rb'\s*+"(?:\w*cost\w*|is_byok)"\s*+:\s*+' + _VALUE
_COSTS = re.compile(rb"(?<=\{)(?:" + _COST + rb"(?:\s*+,)?+)++|," + _COST)
# What follows the usage object, by how many objects it stands in.
_ENDINGS = (re.compile(_MEMBERS + rb"\}\s*+\Z"), re.compile(_MEMBERS + rb"\}" + _MEMBERS + rb"\}\s*+\Z"))


def with_cost(
    dialect: str, answer: bytes, usd: bytes, details: bytes | None = None, *, own_costs: bool = False
) -> bytes:
    """`answer`: a whole reply, or the last events of a stream; `usd`: a JSON number; `details`: a JSON object.

    Unchanged where there is no usage. A cost that the provider wrote into its usage gives way to ours; `own_costs`: a
    whole reply has one beside it too (`Seen.own_costs`), which is left out.
    """
    name = _USAGE.get(dialect)
    if name is None:
        return answer
    is_stream = not answer[:16].lstrip().startswith(b"{")
    if own_costs:
        answer = without_outer_costs(answer)
    cost = b'"cost":' + usd + (b',"cost_details":' + details if details else b"")
    quoted = _QUOTED[dialect]
    is_inner = is_stream and dialect in _OUTER
    if (priced := _priced_at_once(answer, quoted, cost, is_stream, is_inner)) is not None:
        return priced
    ending = _ENDINGS[is_inner]
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
    if not is_stream:
        return _put_in(answer, (name,), cost) or answer
    return _walked_stream(dialect, answer, cost)


def _priced_at_once(answer: bytes, quoted: bytes, cost: bytes, is_stream: bool, is_inner: bool) -> bytes | None:
    """With the cost in the last object of that name; None where it is not plain to see that it is the answer's own.

    What follows the name up to the end (of the line, in a stream) closes just as many objects as the answer's own usage
    stands in, so it can be read as JSON with these opened before it.
    """
    place = answer.rfind(quoted)
    start = _brace_after(answer, place, len(quoted)) if place >= 0 else -1
    if start < 0:
        return None
    stop = _line_end(answer, start) if is_stream else len(answer)
    ending = answer[start:stop]
    if len(ending) > _LONGEST_ENDING or b"cost" in ending or b"is_byok" in ending:
        return None
    try:
        orjson.loads(b"".join((_OPENED[is_inner], ending)))
    except orjson.JSONDecodeError:
        return None
    comma = b"" if ending[1:].lstrip().startswith(b"}") else b","
    return b"".join((answer[: start + 1], cost, comma, answer[start + 1 :]))


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
    """The object that begins there with the cost as its first member."""
    if b"cost" in usage:
        usage = _COSTS.sub(b"", usage)
    comma = b"" if usage[1:].lstrip().startswith(b"}") else b","
    return b"{" + cost + comma + usage[1:]


def without_costs(event: bytes) -> bytes:
    """An event, whose usage objects say nothing of what the provider takes."""
    if b"cost" not in event:
        return event
    place = event.find(b'"usage"')
    while place >= 0:
        start = _brace_after(event, place, len(b'"usage"'))
        usage = _OBJECT.match(event, start) if start >= 0 else None
        place += 1
        if usage is not None and b"cost" in usage.group():
            event = event[:start] + _COSTS.sub(b"", usage.group()) + event[usage.end() :]
        place = event.find(b'"usage"', place)
    return event


def without_outer_costs(data: bytes) -> bytes:
    """A whole reply, or the data of an event, without costs that stand at its top."""
    try:
        text = data.decode()
        place = place_of(text, ())
        return without_members(text, place, _is_cost).encode()
    except ValueError:
        return data


def event_without_outer_costs(event: SseEvent) -> bytes:
    """The bytes of an event whose data is JSON, without costs that stand at its top."""
    return with_data(event, without_outer_costs(event.data or b""))


def _is_cost(name: str) -> bool:
    return "cost" in name or name == "is_byok"


def with_data(event: SseEvent, data: bytes) -> bytes:
    """The bytes of an event with other data, in one line."""
    before = event.data or b""
    place = event.raw.rfind(before)
    if place < 0:  # it stands in several lines
        return encode_event(data.replace(b"\n", b" "), event.event)
    return event.raw[:place] + data + event.raw[place + len(before) :]


def _put_in(data: bytes, path: Path, cost: bytes) -> bytes | None:
    """With the cost in the object at `path`; None where there is none."""
    try:
        text = data.decode()
        place = place_of(text, path)
    except ValueError:
        return None
    if place < 0 or text[place] != "{":
        return None
    before, whole = text[:place].encode(), text[place:].encode()
    usage = _OBJECT.match(whole)
    end = usage.end() if usage is not None else len(whole)
    return before + _priced(whole[:end], cost) + whole[end:]


def _walked_stream(dialect: str, answer: bytes, cost: bytes) -> bytes:
    decoder = SseDecoder(MAX_EVENT_BYTES)
    events = [*decoder.feed(answer), *decoder.end()]
    outer, elsewhere = _OUTER.get(dialect), _ELSEWHERE.get(dialect)
    usual: Path = (_USAGE[dialect],) if outer is None else (outer, _USAGE[dialect])
    for path in (usual, elsewhere) if elsewhere else (usual,):
        for index in reversed(range(len(events))):
            event = events[index]
            if event.data is None or not isinstance(load_lenient(event.data), dict):
                continue
            kept = _put_in(event.data, path, cost)
            if kept is not None:
                raws = [event.raw for event in events]
                raws[index] = with_data(event, kept)
                return b"".join(raws)
    return answer
