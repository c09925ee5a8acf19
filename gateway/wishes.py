"""What a request asks of its routing: OpenRouter's fields, the same as headers, and suffixes of the model's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

from gateway.protocol import fields
from gateway.protocol.conversation import NOTHING, JsonObject
from gateway.protocol.problem import ProtocolError, invalid
from gateway.wish_headers import HEADERS, fields_of, header_of
from routing.policy.weights import PRESETS
from routing.policy.wishes import NO_WISHES, MaxPrice, Wishes, once

MOST_MODELS: Final = 16
MOST_PROVIDERS: Final = 50
LONGEST_NAME: Final = 160
LONGEST_SESSION: Final = 256
_THEIR_SESSION: Final = b"x-session-id"  # of OpenRouter, and of several coding agents
_MOST_USD: Final = 1_000_000
_NANOS: Final = 1_000_000_000
_ROUTES: Final = frozenset(("fallback", "sort"))  # what OpenRouter has ever taken there
_SORTS: Final = frozenset(("price", "throughput", "latency"))
_COLLECTIONS: Final = frozenset(("allow", "deny"))
_PARTITIONS: Final = frozenset(("model", "none"))
_PROVIDER_FIELDS: Final = frozenset(
    ("order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr", "quantizations",
     "sort", "max_price", "preferred_min_throughput", "preferred_max_latency", "enforce_distillable_text")
)  # fmt: skip
_ROUTER_FIELDS: Final = frozenset(("preset", "regions"))
# OpenRouter's names of hosts that are called otherwise here.
_OTHER_NAMES: Final = {
    "amazon-bedrock": "bedrock",
    "google-vertex": "vertex",
    "google-ai-studio": "google",
    "minimax-cn": "minimax",
    "z-ai": "zai",
    "x-ai": "xai",
    "moonshot": "moonshotai",
    "mistralai": "mistral",
    "together-ai": "together",
}
# Half of all requests are below the median: how far a percentile is from it, in standard deviations.
_DEVIATIONS: Final = {"p50": 0.0, "p75": 0.674, "p90": 1.282, "p99": 2.326}
_SPREAD: Final = 0.5  # the usual standard deviation of the logarithm of such times

HashSession = Callable[[str], str]


def wishes_of(routing: JsonObject, headers: Mapping[bytes, bytes], hash_session: HashSession) -> Wishes:
    """From a request's own routing fields and its headers; a field goes before the header of the same meaning.

    NO_WISHES itself where it asks for nothing. `hash_session` makes of a session's text what may be kept of it.
    Raises ProtocolError naming the field or header.
    """
    if not HEADERS.isdisjoint(headers):
        wishes = _read(_merged(_told(headers), routing), hash_session)
    else:
        wishes = _read(routing, hash_session) if routing else NO_WISHES
    if not wishes.session and _THEIR_SESSION in headers:
        # Clients send it to whomever: there is nothing to complain about.
        session = headers[_THEIR_SESSION].decode("latin-1").strip()[:LONGEST_SESSION]
        return wishes._replace(session=hash_session(session)) if session else wishes
    return wishes


def _told(headers: Mapping[bytes, bytes]) -> JsonObject:
    """What the headers say, checked by itself so that what is wrong is reported by the header's name."""
    told = fields_of(headers)
    try:
        _read(told, str)
    except ProtocolError as error:
        header = header_of(error.problem.param or "", headers)
        message = error.problem.message.replace(f"'{error.problem.param}'", f"The header '{header}'")
        raise invalid(message, param=header, code=error.problem.code) from None
    return told


def _merged(told: JsonObject, said: JsonObject) -> JsonObject:
    """`said` over `told`, field by field; null says nothing."""
    merged = dict(told)
    for name, given in said.items():
        value = given
        if value is not None:
            below = merged.get(name)
            if isinstance(below, dict) and isinstance(value, dict):
                value = _merged(below, value)
            merged[name] = value
    return merged


def _read(source: JsonObject, hash_session: HashSession) -> Wishes:
    provider = fields.obj(source, "provider") or NOTHING
    router = fields.obj(source, "router") or NOTHING
    _no_others(provider, _PROVIDER_FIELDS, "provider.")
    _no_others(router, _ROUTER_FIELDS, "router.")
    _one_of(source, "route", _ROUTES)
    _no_promise_beyond_us(provider)
    sort, partition = _sort(provider)
    wishes = Wishes(
        models=_models(source),
        order=_providers(provider, "order"),
        only=_providers(provider, "only"),
        ignore=_providers(provider, "ignore"),
        allow_fallbacks=fields.flag(provider, "allow_fallbacks", "provider.") is not False,
        require_parameters=bool(fields.flag(provider, "require_parameters", "provider.")),
        no_training=_one_of(provider, "data_collection", _COLLECTIONS, "provider.") == "deny",
        zero_retention=bool(fields.flag(provider, "zdr", "provider.")),
        sort=sort,
        sort_across_models=partition == "none",
        max_price=_max_price(provider),
        preferred_min_throughput=_preferred(provider, "preferred_min_throughput", 1.0),
        preferred_max_latency_s=_preferred(provider, "preferred_max_latency", -1.0),
        regions=_regions(router),
        preset=_one_of(router, "preset", PRESETS, "router.") or "",
        session=_session(source, hash_session),
    )
    return NO_WISHES if wishes == NO_WISHES else wishes


# --- Fields -----------------------------------------------------------------------------------------------------------
def _models(source: JsonObject) -> tuple[str, ...]:
    names = fields.texts(source, "models")
    if len(names) > MOST_MODELS:
        raise invalid(f"'models' must name at most {MOST_MODELS}.", param="models", code="invalid_value")
    return once(_name(name, f"models[{at}]") for at, name in enumerate(names))


def _providers(source: JsonObject, name: str) -> tuple[str, ...]:
    """Slugs of the catalogue. OpenRouter names variants of a host too, as in deepinfra/turbo: the host counts."""
    found = fields.texts(source, name, "provider.")
    if len(found) > MOST_PROVIDERS:
        where = f"provider.{name}"
        raise invalid(f"'{where}' must name at most {MOST_PROVIDERS}.", param=where, code="invalid_value")
    slugs = [_name(one, f"provider.{name}[{at}]").lower().partition("/")[0] for at, one in enumerate(found)]
    return once(_OTHER_NAMES.get(slug.replace(" ", "-"), slug) for slug in slugs)


def _regions(source: JsonObject) -> tuple[str, ...]:
    found = fields.texts(source, "regions", "router.")
    if len(found) > MOST_PROVIDERS:
        raise invalid(f"'router.regions' must name at most {MOST_PROVIDERS}.", "router.regions", "invalid_value")
    return once(_name(one, f"router.regions[{at}]").lower() for at, one in enumerate(found))


def _name(value: str, where: str) -> str:
    name = value.strip()
    if not name or len(name) > LONGEST_NAME:
        raise invalid(f"'{where}' must be a name of 1 to {LONGEST_NAME} characters.", param=where, code="invalid_value")
    return name


def _sort(provider: JsonObject) -> tuple[str, str]:
    """What to sort by, and whether each model apart ("model") or all together ("none")."""
    wish = provider.get("sort")
    if not isinstance(wish, dict):
        return _one_of(provider, "sort", _SORTS, "provider.") or "", "model"
    _no_others(wish, ("by", "partition"), "provider.sort.")
    by = _one_of(wish, "by", _SORTS, "provider.sort.") or ""
    return by, _one_of(wish, "partition", _PARTITIONS, "provider.sort.") or "model"


def _max_price(provider: JsonObject) -> MaxPrice | None:
    caps = fields.obj(provider, "max_price", "provider.")
    if not caps:
        return None
    _no_others(caps, MaxPrice._fields, "provider.max_price.")
    cap = MaxPrice(*(_nanos(caps, name) for name in MaxPrice._fields))
    return None if cap == MaxPrice() else cap


def _nanos(caps: JsonObject, name: str) -> int | None:
    """US dollars, as a number or as text, to nano-dollars."""
    value = caps.get(name)
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            value = math.nan
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_USD:
        raise fields.wrong("provider.max_price.", name, f"US dollars from 0 to {_MOST_USD}")
    return round(value * _NANOS)


def _preferred(provider: JsonObject, name: str, direction: float) -> float | None:
    """A bound on the median. One on another percentile is moved to where the median has to be for it."""
    value = provider.get(name)
    if not isinstance(value, dict):
        return _bound(provider, name, "provider.")
    where = f"provider.{name}."
    _no_others(value, _DEVIATIONS.keys(), where)
    medians = [
        bound * math.exp(direction * _DEVIATIONS[percentile] * _SPREAD)
        for percentile in value
        if (bound := _bound(value, percentile, where)) is not None
    ]
    if not medians:
        return None
    return max(medians) if direction > 0 else min(medians)


def _bound(source: JsonObject, name: str, where: str) -> float | None:
    value = fields.number(source, name, where)
    if value is not None and not 0 < value <= _MOST_USD:
        raise fields.wrong(where, name, f"a number above 0 and up to {_MOST_USD}")
    return value


def _session(source: JsonObject, hash_session: HashSession) -> str:
    session = fields.text(source, "session_id")
    if not session:
        return ""
    if len(session) > LONGEST_SESSION:
        raise fields.wrong("", "session_id", f"a text of at most {LONGEST_SESSION} characters")
    return hash_session(session)


def _no_promise_beyond_us(provider: JsonObject) -> None:
    """What the catalogue does not know is refused rather than ignored: the caller relies on it."""
    quantizations = fields.texts(provider, "quantizations", "provider.")
    if quantizations and "unknown" not in quantizations:
        raise _unsupported("provider.quantizations", "Router One does not know the quantization of its providers.")
    if fields.flag(provider, "enforce_distillable_text", "provider."):
        raise _unsupported("provider.enforce_distillable_text", "Router One does not know which models allow it.")


def _unsupported(field: str, why: str) -> ProtocolError:
    return invalid(f"'{field}' can't be honoured: {why} Leave it out.", param=field, code="unsupported_parameter")


def _one_of(source: JsonObject, name: str, words: Collection[str], where: str = "") -> str | None:
    value = fields.text(source, name, where)
    if value is None:
        return None
    word = value.strip().lower()
    if word in words:
        return word
    raise fields.wrong(where, name, "one of " + ", ".join(sorted(words)))


def _no_others(source: JsonObject, known: Collection[str], where: str) -> None:
    """A misspelt prohibition must not go unnoticed."""
    for name in source:
        if name not in known:
            path = f"{where}{name[:60]}"
            raise invalid(
                f"'{path}' is not known. Known here: {', '.join(sorted(known))}.", param=path, code="unknown_parameter"
            )
