"""Canonical conversations and replies, restricted to what a dialect can express; and JSON of any kind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import (
    Audio,
    Conversation,
    CustomFormat,
    File,
    Image,
    Part,
    Reasoning,
    ReasoningControls,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.reply import Choice, FinishReason, Reply, UsageReport
from tests.gateway.protocol.properties.carrying import Carries, carried_by

NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
# Characters that framing and JSON could trip over are as likely as all the others together.
TEXT = st.text(
    st.sampled_from('\r\n\t\0"\\:{}[]\u2028\u2029\ufeff\x85é中😀 data') | st.characters(exclude_categories=("Cs",)),
    min_size=1,
    max_size=12,
)
BASE64 = st.sampled_from(["AAAA", "aGVsbG8=", "/+/+"])
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
    ]
)
# As JSON is written everywhere here: without spaces, not escaped.
OBJECT_TEXT = st.dictionaries(NAMES, st.integers(-9, 9) | TEXT | st.none(), max_size=2).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _tuples(items: st.SearchStrategy[Any], least: int, most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def _maybe(values: st.SearchStrategy[Any], wanted: bool) -> st.SearchStrategy[Any]:
    return st.none() | values if wanted else st.none()


def _texts(carries: Carries) -> st.SearchStrategy[Text]:
    return st.builds(Text, TEXT, cache=_maybe(st.sampled_from(["5m", "1h"]), carries.cache))


def _media(carries: Carries) -> st.SearchStrategy[Part]:
    detail = _maybe(st.sampled_from(["low", "high"]), carries.image_detail)
    forms: list[st.SearchStrategy[Part]] = [
        st.builds(Image, data=BASE64, media_type=st.sampled_from(["image/png", "image/jpeg"]), detail=detail)
    ]
    if "url" in carries.images:
        forms.append(st.builds(Image, url=st.just("https://x.example/a.png"), detail=detail))
    names = _maybe(NAMES, carries.file_names)
    if "data" in carries.files:
        forms.append(
            st.builds(
                File,
                data=BASE64,
                media_type=st.just("application/pdf"),
                name=NAMES if carries.file_names else st.none(),
            )
        )
    if "url" in carries.files:
        forms.append(st.builds(File, url=st.just("https://x.example/a.pdf")))
    if "text" in carries.files:
        forms.append(st.builds(File, text=TEXT, name=names))
    if "file_id" in carries.files:
        forms.append(st.builds(File, file_id=NAMES))
    if carries.audio:
        forms.append(st.builds(Audio, data=BASE64, format=st.just("wav")))
    return st.one_of(forms)


def _thoughts(carries: Carries, dialect: str) -> st.SearchStrategy[tuple[Reasoning, ...]]:
    own = st.just(dialect)
    kinds = {
        "text": st.builds(Reasoning, TEXT, origin=own),
        "signature": st.builds(Reasoning, TEXT, signature=NAMES, origin=own),
        "redacted": st.builds(Reasoning, redacted=NAMES, origin=own),
        "encrypted": st.builds(Reasoning, TEXT, redacted=NAMES, id=NAMES, origin=own),
    }
    if not carries.reasoning:
        return st.just(())
    most = 1 if carries.reasoning == ("text",) else 2
    return _tuples(st.one_of([kinds[kind] for kind in carries.reasoning]), 0, most)


@st.composite
def _calls(draw: st.DrawFn, carries: Carries, call_id: str) -> ToolCall:
    custom = carries.custom_tools and draw(st.booleans())
    namespace = draw(st.just("") | NAMES) if carries.namespaces else ""
    return ToolCall(call_id, draw(NAMES), draw(TEXT if custom else OBJECT_TEXT), custom=custom, namespace=namespace)


@st.composite
def _rounds(draw: st.DrawFn, carries: Carries, dialect: str) -> list[Turn]:
    """A user turn, an answer, and the results of its calls."""
    turns = [Turn("user", draw(_tuples(_texts(carries) | _media(carries), 1, 3)))]
    ids = draw(st.lists(NAMES, max_size=2, unique=True))
    calls = tuple(draw(_calls(carries, call_id)) for call_id in ids)
    words = draw(_tuples(st.builds(Text, TEXT), 0 if calls else 1, 2))
    refusals = draw(_tuples(st.builds(Refusal, TEXT), 0, 1)) if carries.refusal and not calls else ()
    answer = (*draw(_thoughts(carries, dialect)), *words, *refusals, *calls)
    turns.append(Turn("assistant", answer))
    errors = st.booleans() if carries.result_errors else st.just(False)
    texts = _tuples(st.builds(Text, TEXT), 1, 1)
    for call_id in ids:
        turns.append(Turn(carries.results_role, (ToolResult(call_id, draw(texts), is_error=draw(errors)),)))
    return turns


@st.composite
def _turns(draw: st.DrawFn, carries: Carries, dialect: str) -> tuple[Turn, ...]:
    leading = _texts(carries) if carries.system_cache else st.builds(Text, TEXT)
    turns = [Turn("system", draw(_tuples(leading, 1, carries.system_texts)))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 2))):
        turns += draw(_rounds(carries, dialect))
    if carries.mid_system and draw(st.booleans()):
        turns.append(Turn("system", draw(_tuples(_texts(carries), 1, 1))))
    turns.append(Turn("user", draw(_tuples(_texts(carries), 1, 2))))
    return tuple(turns)


@st.composite
def _tools(draw: st.DrawFn, carries: Carries) -> tuple[Tool, ...]:
    tools = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        custom = None
        if carries.custom_tools and draw(st.booleans()):
            custom = draw(st.builds(CustomFormat) | st.builds(CustomFormat, st.just("lark"), TEXT))
        tools.append(
            Tool(
                name,
                draw(st.none() | TEXT),
                None if custom else draw(SCHEMAS),
                strict=draw(_maybe(st.booleans(), carries.tool_strict)) if custom is None else None,
                custom=custom,
                namespace=draw(st.just("") | NAMES) if carries.namespaces else "",
            )
        )
    return tuple(tools)


def _choices(tools: tuple[Tool, ...]) -> st.SearchStrategy[ToolChoice | None]:
    plain = [tool.name for tool in tools if tool.custom is None and not tool.namespace]
    named = [st.builds(ToolChoice, st.just("named"), st.sampled_from(plain))] if plain else []
    return st.one_of(st.none(), st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])), *named)


def _samplings(carries: Carries) -> st.SearchStrategy[Sampling]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.sampled_from([0.1, 0.9]),
        "top_k": st.integers(1, 50),
        "stop": _tuples(NAMES, 0, 4),
        "n": st.integers(1, 3),
        "seed": st.integers(0, 2**31 - 1),
        "frequency_penalty": st.sampled_from([-0.5, 0.5]),
        "presence_penalty": st.sampled_from([-0.5, 0.5]),
    }
    optional = {name: values[name] if name in ("stop", "n") else st.none() | values[name] for name in carries.sampling}
    return st.builds(Sampling, max_output_tokens=st.integers(16, 9999), **optional)


def _formats(carries: Carries) -> st.SearchStrategy[ResponseFormat | None]:
    forms = [st.builds(ResponseFormat, st.just(kind)) for kind in carries.formats if kind != "json_schema"]
    if "json_schema" in carries.formats:
        forms.append(st.builds(ResponseFormat, st.just("json_schema"), schema=SCHEMAS))
    return st.one_of(st.none(), *forms)


def _controls(carries: Carries) -> st.SearchStrategy[ReasoningControls]:
    forms = [st.builds(ReasoningControls)]
    if carries.efforts:
        forms.append(st.builds(ReasoningControls, effort=st.sampled_from(carries.efforts)))
    if carries.budgets:
        forms.append(st.builds(ReasoningControls, enabled=st.just(True), budget_tokens=st.integers(1024, 2048)))
    return st.one_of(forms)


@st.composite
def conversations(draw: st.DrawFn, dialect: str) -> Conversation:
    """What this dialect's own decoder could give, up to the arrangement of parts in turns."""
    carries = carried_by(dialect)
    tools = draw(st.just(()) | _tools(carries))
    return Conversation(
        model="m",
        turns=draw(_turns(carries, dialect)),
        tools=tools,
        tool_choice=draw(_choices(tools)) if tools else None,
        parallel_tools=draw(_maybe(st.booleans(), carries.parallel)) if tools else None,
        sampling=draw(_samplings(carries)),
        response_format=draw(_formats(carries)),
        reasoning=draw(_controls(carries)),
        stream=draw(st.booleans()),
        user=draw(_maybe(NAMES, carries.user)),
        cache_key=draw(_maybe(NAMES, carries.cache_key)),
        verbosity=draw(_maybe(st.sampled_from(["low", "medium", "high"]), carries.verbosity)),
        metadata=draw(st.sampled_from([{}, {"k": "v"}])) if carries.metadata else {},
        dialect=dialect,
    )


@st.composite
def _reply_choices(draw: st.DrawFn, dialect: str, index: int) -> Choice:
    carries = carried_by(dialect)
    parts: list[Part] = list(draw(_thoughts(carries, dialect)))
    parts += draw(_tuples(st.builds(Text, TEXT), 0, 1))
    refusals = _tuples(st.builds(Refusal, TEXT), 0, 1)
    refused = draw(refusals) if carries.refusal else ()
    parts += refused
    ids = draw(st.lists(NAMES, max_size=3, unique=True))
    parts += [ToolCall(call_id, draw(NAMES), draw(OBJECT_TEXT)) for call_id in ids]
    finishes = (carries.refusal_finish,) if refused else carries.finishes
    finish = FinishReason.TOOL_CALLS if ids else FinishReason(draw(st.sampled_from(finishes)))
    ends_by_sequence = carries.stop_sequence and finish is FinishReason.STOP and draw(st.booleans())
    return Choice(index, tuple(parts), finish, stop_sequence=draw(NAMES) if ends_by_sequence else None)


@st.composite
def replies(draw: st.DrawFn, dialect: str) -> Reply:
    """Answers that this dialect can write whole and as a stream."""
    carries = carried_by(dialect)
    count = draw(st.integers(1, carries.choices))
    buckets = st.fixed_dictionaries({name: st.integers(0, 10**6) for name in carries.usage})
    return Reply(
        choices=tuple(draw(_reply_choices(dialect, index)) for index in range(count)),
        usage=UsageReport(TokenUsage(**draw(buckets))),
    )
