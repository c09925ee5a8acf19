"""The stored reasons of a route: who was weighed by what, and who was left out. Reads what any version wrote."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from observability.records import Trace

_THE_PROJECTS: Final = ("project", "default")


class Weighed(NamedTuple):
    """A candidate as it stood then. `latency`, `cost` and `quality` are what it lacked, 0 to 1; `loss` weighs them."""

    id: int
    provider: str
    model: str
    loss: float
    latency: float
    cost: float
    quality: float
    seconds: float
    first_token_s: float
    tokens_per_s: float
    error_rate: float
    cost_nanos: int
    tier: int
    samples: int


class LeftOut(NamedTuple):
    provider: str
    model: str
    reason: str


class Decision(NamedTuple):
    """`weights`: latency, cost and quality as shares of 1, none where the trace has none. Candidates best first.
    `set_by`: whose they are: request, rule, alias, project or default; empty in old traces."""

    weights: tuple[float, float, float] | None
    candidates: tuple[Weighed, ...]
    left_out: tuple[LeftOut, ...]
    sort: str = ""
    ordered: bool = False
    auto: bool = False
    by_rule: bool = False
    set_by: str = ""

    @property
    def by_project(self) -> bool:
        """Whether the project's own weights decided; of old traces with a rule nobody knows, so they do not count."""
        if self.set_by:
            return self.set_by in _THE_PROJECTS and not (self.ordered or self.sort)
        return not (self.ordered or self.sort or self.by_rule)


NONE: Final = Decision(None, (), ())


def decision_in(trace: Trace | None) -> Decision:
    """What the trace says of the decision and of those passed over at the last moment; NONE for old rows."""
    told = trace.get("decision") if isinstance(trace, dict) else None
    if not isinstance(told, dict):
        return NONE
    candidates = tuple(filter(None, (_weighed(one) for one in _rows(told.get("candidates")))))
    refused = [one for one in _rows(told.get("refused")) if _is_texts(one, 3)]
    left_out = [LeftOut(*one) for one in refused] + _skipped(trace, candidates)
    return Decision(
        _weights(told.get("weights")),
        candidates,
        tuple(left_out),
        sort=told["sort"] if isinstance(told.get("sort"), str) else "",
        ordered=told.get("ordered") is True,
        auto=told.get("auto") is True,
        by_rule="rule" in told,
        set_by=told["set_by"] if isinstance(told.get("set_by"), str) else "",
    )


def _skipped(trace: Trace | None, candidates: tuple[Weighed, ...]) -> list[LeftOut]:
    known = {one.id: one for one in candidates}
    found = []
    for row in _rows(trace.get("skipped") if trace else None):
        if isinstance(row, list) and len(row) == 2 and row[0] in known and isinstance(row[1], str):
            found.append(LeftOut(known[row[0]].provider, known[row[0]].model, row[1]))
    return found


def _weighed(row: Any) -> Weighed | None:
    if not isinstance(row, dict):
        return None
    get = row.get
    id_, provider, model = get("id"), get("provider"), get("model")
    if not isinstance(provider, str) or not isinstance(id_, int):
        return None
    return Weighed(
        id_,
        provider,
        model if isinstance(model, str) else "",
        loss=_number(get("loss")),
        latency=_number(get("latency")),
        cost=_number(get("cost")),
        quality=_number(get("quality")),
        seconds=_number(get("seconds")),
        first_token_s=_number(get("first_token_s")),
        tokens_per_s=_number(get("tokens_per_s")),
        error_rate=_number(get("error_rate")),
        cost_nanos=int(_number(get("cost_nanos"))),
        tier=int(_number(get("tier"))),
        samples=int(_number(get("samples"))),
    )


def _weights(value: Any) -> tuple[float, float, float] | None:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(one, int | float) for one in value):
        return None
    return (float(value[0]), float(value[1]), float(value[2]))


def _number(value: Any) -> float:
    if type(value) is float:  # nearly always, and a replay reads hundreds of thousands
        return value
    return float(value) if isinstance(value, int | float) else 0.0


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_texts(row: Any, length: int) -> bool:
    return isinstance(row, list) and len(row) == length and all(isinstance(one, str) for one in row)
