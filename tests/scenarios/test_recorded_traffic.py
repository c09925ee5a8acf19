"""Real recorded provider traffic through the running gateway: what the SDK reads is what was recorded."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import openai
import pytest
from django.core.management import call_command

from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import ROOT

CORPUS = ROOT.parent / "shared" / "corpus"
pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the corpus of recorded exchanges is not beside the project"
)

RATES = {
    "input": "3",
    "cache_read": "0.3",
    "cache_write": "3.75",
    "cache_write_long": "6",
    "output": "15",
    "reasoning": "15",
}
WANTED = {"openai_chat": 90, "anthropic_messages": 50}
FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
# Answers whose meaning no chat answer can carry, or whose figures need a reader of their own.
LEFT_OUT = {
    *("server_tool", "code_execution", "web_search", "web_fetch", "mcp", "computer_use", "tool_search", "container"),
    *("error", "stream_error", "truncated", "finish_missing", "audio_tokens", "legacy_functions", "audio_in"),
    *("billed_server_tool", "refusal", "n_choices", "no_done"),
}


def _load() -> list[dict[str, Any]]:
    """The exchanges to play: answered ones with usage, streamed and not by turns."""
    chosen = []
    for protocol, wanted in WANTED.items():
        by_kind: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for line in (CORPUS / "index.jsonl").read_text("utf-8").splitlines():
            entry = json.loads(line)
            if entry["protocol"] != protocol or entry["status"] != 200 or LEFT_OUT & set(entry["features"]):
                continue
            exchange = json.loads((CORPUS / entry["file"]).read_text("utf-8"))
            expect = exchange.get("expect") or {}
            if len(expect.get("choices", [])) == 1 and _adds_up(expect.get("usage") or {}):
                by_kind[entry["streaming"]].append(exchange)
        for group in by_kind.values():
            step = max(1, len(group) // (wanted // 2))
            chosen += group[::step][: wanted // 2]
    return chosen


def _adds_up(usage: dict[str, Any]) -> bool:
    """Figures that contradict themselves are clamped and flagged, which the codecs' own tests look at."""
    parts = (usage.get("cache_read_tokens") or 0) + (usage.get("cache_write_tokens") or 0)
    return bool(usage) and not usage.get("note") and parts <= usage["input_tokens"]


EXCHANGES = _load() if CORPUS.is_dir() else []


def _replay_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_upstream", CORPUS / "replay_upstream.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["replay_upstream"] = module
    spec.loader.exec_module(module)
    return module


def _catalogue(folder: Path, url: str) -> None:
    """A provider per dialect, a model per exchange; loaded the way an operator loads theirs."""
    providers = [
        {"slug": f"replay-{name}", "name": f"Replay {name}", "kind": "test", "region": "test", "currency": "USD",
         "base_urls": {name: f"{url}/v1"}, "auth": "none"}
        for name in WANTED
    ]  # fmt: skip
    models = []
    for exchange in EXCHANGES:
        protocol = exchange["protocol"]
        card = {
            "valid_from": None,
            "valid_until": None,
            "tier": "standard",
            "min_prompt_tokens": 0,
            "schedule": None,
            "rates": RATES,
        }
        models.append(
            {"slug": f"replay/{exchange['id'].lower()}", "name": exchange["id"], "author": "replay", "aliases": [],
             "description": "", "released": None, "released_basis": "", "status": "active", "context_length": 200000,
             "max_output_tokens": 8000, "input_modalities": ["text"], "output_modalities": ["text"], "capabilities": {},
             "quality": None, "offerings": [
                 {"provider": f"replay-{protocol}", "upstream_id": f"replay/{exchange['id']};split=random;seed=7",
                  "protocol": protocol, "other_protocols": [], "base_url": f"{url}/v1", "context_length": 200000,
                  "max_output_tokens": 8000, "status": "active", "retires_on": None, "currency": "USD",
                  "price_cards": [card], "price_source": "test", "seen_in": [], "cross_check": "single",
                  "as_of": None, "note": None}]}
        )  # fmt: skip
    meta = {"version": 1, "as_of": "2026-11-22"}
    folder.joinpath("providers.json").write_text(
        json.dumps({"meta": meta, "holiday_calendars": {}, "providers": providers})
    )
    folder.joinpath("models.json").write_text(json.dumps({"meta": meta, "models": models}))


@pytest.fixture(scope="module")
def customer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    folder = tmp_path_factory.mktemp("catalogue")
    with _replay_module().serve_in_thread([CORPUS]) as upstream:
        _catalogue(folder, upstream.url)
        call_command("load_catalogue", str(folder), quiet=True)
        someone = stack.customer(credit_usd="100000")
        client = stack.openai(someone)
        wanted = {f"replay/{exchange['id'].lower()}" for exchange in EXCHANGES}
        stack.until(lambda: wanted <= {model.id for model in client.models.list()})
        yield someone


def _read(client: openai.OpenAI, exchange: dict[str, Any]) -> dict[str, Any]:
    model = f"replay/{exchange['id'].lower()}"
    messages: Any = [{"role": "user", "content": "play"}]
    if not exchange["streaming"]:
        completion = client.chat.completions.create(model=model, messages=messages)
        choice = completion.choices[0]
        calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
        return {
            "text": choice.message.content or "",
            "finish": choice.finish_reason,
            "calls": calls,
            "usage": completion.usage,
        }
    text, finish, usage, calls_by_index = "", None, None, {}
    options: Any = {"include_usage": True}
    for chunk in client.chat.completions.create(model=model, messages=messages, stream=True, stream_options=options):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or "" if isinstance(choice.delta.content, str | None) else ""
            finish = choice.finish_reason or finish
            for delta in choice.delta.tool_calls or []:
                call = calls_by_index.setdefault(delta.index, ["", "", ""])
                call[0] = call[0] or delta.id or ""
                call[1] = call[1] or (delta.function and delta.function.name) or ""
                call[2] += (delta.function and delta.function.arguments) or ""
    return {"text": text, "finish": finish, "calls": [tuple(call) for call in calls_by_index.values()], "usage": usage}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange["id"])
def test_the_sdk_reads_what_was_recorded_and_the_charge_is_right(
    stack: Stack, customer: Customer, exchange: dict[str, Any]
) -> None:
    before = stack.rows(
        "SELECT coalesce(sum(charge_nanos), 0) FROM billing_usagerecord WHERE api_key_id = %s", customer.api_key_id
    )[0][0]
    got = _read(stack.openai(customer), exchange)
    expect = exchange["expect"]["choices"][0]
    assert got["text"] == expect["text"]
    # Arguments are compared as text: what the provider wrote, or {} where it wrote nothing at all.
    wanted_calls = [(call["name"], call["arguments"]) for call in expect["tool_calls"]]
    got_calls = [(name, arguments) for _, name, arguments in got["calls"]]
    if exchange["protocol"] == "openai_chat":
        assert got["finish"] == expect["finish"]
        assert got_calls == wanted_calls
    else:
        assert got["finish"] == FINISH[expect["finish"]]
        assert [(n, json.loads(a or "{}")) for n, a in got_calls] == [
            (n, json.loads(a or "{}")) for n, a in wanted_calls
        ]
    usage = exchange["expect"]["usage"]
    stack.settle()
    row = stack.rows(
        "SELECT input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_source,"
        " charge_nanos FROM observability_requestlog WHERE api_key_id = %s ORDER BY id DESC LIMIT 1",
        customer.api_key_id,
    )[0]
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    assert dict(zip(names, row[:5], strict=True)) == {name: usage.get(name) or 0 for name in names}
    assert row[5] == "reported"
    assert row[6] == _by_hand(exchange, usage)
    after = stack.rows(
        "SELECT coalesce(sum(charge_nanos), 0) FROM billing_usagerecord WHERE api_key_id = %s", customer.api_key_id
    )[0][0]
    assert after - before == row[6]


def _by_hand(exchange: dict[str, Any], usage: dict[str, Any]) -> int:
    """The charge from the recorded figures and the card alone, in nano-USD."""
    read, written = usage.get("cache_read_tokens") or 0, usage.get("cache_write_tokens") or 0
    long = 0
    for seen in exchange["usage"]:
        long = max(long, (seen["value"].get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
    fresh = usage["input_tokens"] - read - written
    rate = {name: Decimal(value) for name, value in RATES.items()}
    total = (
        fresh * rate["input"] + read * rate["cache_read"] + (written - long) * rate["cache_write"]
        + long * rate["cache_write_long"] + usage["output_tokens"] * rate["output"]
    )  # fmt: skip
    return int(total * 1000)
