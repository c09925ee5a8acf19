"""The recorded exchanges beside the checkout, and a catalogue that has a model for each of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
CORPUS = ROOT.parent / "shared" / "corpus"
DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
# Mistral's own protocol is a variety of OpenAI's.
PROTOCOLS = {**{name: name for name in DIALECTS}, "mistral_chat": "openai_chat"}
_SPLITS = ("random;seed=7", "events", "nasty", "coalesce", "lines")
_RATES = {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "cache_write_long": "6", "output": "15"}


@cache
def exchanges() -> tuple[dict[str, Any], ...]:
    """Every exchange of the dialects that the gateway speaks, in the order of their ids."""
    found = []
    for line in (CORPUS / "index.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["protocol"] in PROTOCOLS:
            found.append(json.loads((CORPUS / entry["file"]).read_text("utf-8")))
    return tuple(sorted(found, key=lambda exchange: str(exchange["id"])))


def dialect_of(exchange: dict[str, Any]) -> str:
    return PROTOCOLS[exchange["protocol"]]


def answered() -> list[dict[str, Any]]:
    """Those that the provider answered, and not with an error inside the answer."""
    return [e for e in exchanges() if e["response"]["status"] == 200 and not (e["expect"] or {}).get("error")]


@cache
def replayer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_upstream", CORPUS / "replay_upstream.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["replay_upstream"] = module
    spec.loader.exec_module(module)
    return module


def slug(exchange: dict[str, Any]) -> str:
    return f"replay/{exchange['id'].lower()}"


def upstream_name(exchange: dict[str, Any], number: int) -> str:
    """The name under which the replay server knows an exchange; each is cut into pieces in another way."""
    big = len(json.dumps(exchange["response"])) > 60_000
    separator = "--" if dialect_of(exchange) == "gemini_generate" else "/"
    return f"replay{separator}{exchange['id']};split={'events' if big else _SPLITS[number % len(_SPLITS)]}"


def write_catalogue(folder: Path, url: str) -> None:
    """A provider for each dialect and a model for each exchange, in the form that `load_catalogue` reads."""
    providers = [
        {"slug": f"replay-{name}", "name": f"Replay {name}", "kind": "test", "region": "test", "currency": "USD",
         "base_urls": {name: url + ("/v1beta" if name == "gemini_generate" else "/v1")}, "auth": "none"}
        for name in DIALECTS
    ]  # fmt: skip
    card = {"valid_from": None, "valid_until": None, "tier": "standard", "min_prompt_tokens": 0, "schedule": None,
            "rates": _RATES}  # fmt: skip
    models = [
        {"slug": slug(exchange), "name": exchange["id"], "author": "replay", "aliases": [], "description": "",
         "released": None, "released_basis": "", "status": "active", "context_length": 200000,
         "max_output_tokens": 8000, "input_modalities": ["text"], "output_modalities": ["text"], "capabilities": {},
         "quality": None, "offerings": [
             {"provider": f"replay-{dialect_of(exchange)}", "upstream_id": upstream_name(exchange, number),
              "protocol": dialect_of(exchange), "other_protocols": [], "base_url": "", "context_length": 200000,
              "max_output_tokens": 8000, "status": "active", "retires_on": None, "currency": "USD",
              "price_cards": [card], "price_source": "test", "seen_in": [], "cross_check": "single",
              "as_of": None, "note": None}]}
        for number, exchange in enumerate(exchanges())
    ]  # fmt: skip
    meta = {"version": 1, "as_of": "2026-11-22"}
    folder.joinpath("providers.json").write_text(
        json.dumps({"meta": meta, "holiday_calendars": {}, "providers": providers})
    )
    folder.joinpath("models.json").write_text(json.dumps({"meta": meta, "models": models}))
