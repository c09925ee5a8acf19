"""Small damage to bytes and to JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_INTERESTING = [
    b"\n\n", b"\r\n\r\n", b"\r", b"\n", b"data: ", b"data:", b"event: error\n", b": c\n\n", b"[DONE]",
    b"data: [DONE]\n\n",
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"-1", b"1e999", b"9" * 30, b"\xff",
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\xe2\x80\xa8", b"{}", b"[]", b'""', b"[" * 300,
    b'{"error":{"code":500}}',
]  # fmt: skip
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, -1e300, 1e308, 2**31, 2**63, 2**64, "", "x", "\x00", "\ud800", "none", "auto",
    "data:;base64,", "r1.eyJvIjoieCJ9", "text", "user", "assistant", "tool", [], {}, [None], [[]], [{}],
    {"type": "text"},
    {"type": "x"}, ["a", 1], {"": None}, [{"type": "text", "text": "x"}], {"type": 5},
]  # fmt: skip


def damage_bytes(dice: random.Random, body: bytes, others: list[bytes]) -> bytes:
    """One to four byte flips, cuts, repeats, insertions, or a splice with another seed."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        body = _damage_once(dice, body, others)
    return body


def _damage_once(dice: random.Random, body: bytes, others: list[bytes]) -> bytes:
    at = dice.randrange(len(body) + 1)
    to = min(len(body), at + dice.choice((1, 2, 8, 40, 300)))
    way = dice.randrange(6)
    if way == 0 and at < len(body):
        return body[:at] + bytes((body[at] ^ (1 << dice.randrange(8)),)) + body[at + 1 :]
    if way == 1:
        return body[:at] + dice.choice(_INTERESTING) + body[at:]
    if way == 2:
        return body[:at] + body[to:]
    if way == 3:
        return body[:to] + body[at:to] + body[to:]
    if way == 4:
        other = dice.choice(others)
        return body[:at] + other[dice.randrange(len(other) + 1) :]
    return body[:at] + dice.choice(_INTERESTING) + body[to:]


def damage_json(dice: random.Random, value: Any) -> Any:
    """A copy with one to four values replaced, removed, doubled or moved to another place."""
    value = copy.deepcopy(value)
    for _ in range(dice.choice((1, 1, 2, 4))):
        places = _places(value)
        if not places:
            return dice.choice(_VALUES)
        holder, key = dice.choice(places)
        _change(dice, holder, key, places)
    return value


def _change(dice: random.Random, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    way = dice.randrange(8)
    if way < 4:
        holder[key] = copy.deepcopy(dice.choice(_VALUES))
    elif way == 4:
        del holder[key]
    elif way == 5:
        other, name = dice.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif way == 6 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif isinstance(holder, dict):
        holder[dice.choice(places)[1] if dice.random() < 0.5 else "x"] = holder.pop(key)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in the value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in items:
            found.append((holder, key))
            if isinstance(inner, dict | list):
                waiting.append(inner)
    return found


def to_bytes(value: Any) -> bytes:
    """JSON as a careless client writes it: keys that are numbers, NaN, lone surrogates."""
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except TypeError:
        # A key that is no text went into an object beside texts.
        return json.dumps(value, skipkeys=True).encode()


def cuts(dice: random.Random, body: bytes) -> list[bytes]:
    """The body in up to nine pieces."""
    edges = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(9)))
    return [body[start:end] for start, end in zip([0, *edges], [*edges, len(body)], strict=True)]


def shrink(body: bytes, still_fails: Any) -> bytes:
    """A smaller input that fails alike: pieces are taken out as long as any can be."""
    size = max(1, len(body) // 2)
    while True:
        at = 0
        while at < len(body):
            shorter = body[:at] + body[at + size :]
            if still_fails(shorter):
                body = shorter
            else:
                at += size
        if size == 1:
            return body
        size //= 2
