"""Members of our own, put into an answer that is passed on as bytes: last in its object, or in a stream's last event.

What a provider says under the same names is left out. Where there is no object to put them in nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.protocol.cost import with_data
from gateway.protocol.json_surgery import place_of, without_members
from gateway.protocol.json_text import load_lenient
from gateway.protocol.sse import SseDecoder

NAMES = ("openrouter_metadata", "router_metadata")
# The object in the last event that clients keep, where it is not the event itself.
_INNER: Mapping[str, str] = MappingProxyType({"openai_responses": "response"})
_MARK = b'router_metadata"'
_SIGN_OF_LIFE = "ping"


def in_body(body: bytes, told: bytes) -> bytes:
    """A whole answer or error with the members of `told`, a JSON object, as its last."""
    return _at_the_end(body, told) or body


def in_stream(dialect: str, ending: bytes, told: bytes) -> bytes:
    """The last bytes of a stream, or an error inside it, likewise: in the last event that is an object."""
    decoder = SseDecoder(len(ending) + 1)
    events = [*decoder.feed(ending), *decoder.end()]
    for index in reversed(range(len(events))):
        event = events[index]
        said = None if event.data is None else load_lenient(event.data)
        if event.data is None or not isinstance(said, dict) or said.get("type") == _SIGN_OF_LIFE:
            continue
        data = _put_in(event.data, said, _INNER.get(dialect), told)
        if data is None:
            return ending
        raws = [one.raw for one in events]
        raws[index] = with_data(event, data)
        return b"".join(raws)
    return ending


def _put_in(data: bytes, said: Mapping[str, Any], inner: str | None, told: bytes) -> bytes | None:
    if inner is None or not isinstance(said.get(inner), dict):
        return _at_the_end(data, told)
    try:
        text = data.decode()
        start = place_of(text, (inner,))
        if _MARK in data:
            text = without_members(text, start, NAMES.__contains__)
    except ValueError:
        return None
    rest = text[start + 1 :].encode()
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return text[: start + 1].encode() + _members(told) + comma + rest


def _at_the_end(data: bytes, told: bytes) -> bytes | None:
    """Found from the two ends, so that the size of an answer does not matter. None for what is no object."""
    if _MARK in data:
        try:
            text = data.decode()
            data = without_members(text, place_of(text, ()), NAMES.__contains__).encode()
        except ValueError:
            return None
    kept = data.rstrip()
    if not kept.endswith(b"}") or not kept[:64].lstrip().startswith(b"{"):
        return None
    comma = b"" if kept[:-1].rstrip().endswith(b"{") else b","
    return kept[:-1] + comma + _members(told) + b"}" + data[len(kept) :]


def _members(told: bytes) -> bytes:
    return told.strip()[1:-1]
