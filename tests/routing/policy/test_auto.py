from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.policy.auto import is_auto, models_for, quality_for
from routing.policy.candidate import DeploymentInfo, ModelInfo
from routing.policy.decide import Asking, Group, decide
from routing.policy.family import family_of, relatives
from routing.policy.needs import Needs
from routing.policy.plan import NoDeployment
from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.vitals import UNKNOWN
from routing.policy.weights import PRESETS
from routing.policy.wishes import MaxPrice, Wishes
from tests.routing.policy.cast import ALL_KINDS, NOW, deployment, model, without

CHAT = Needs("openai_chat", prompt_tokens=500, task="chat")


def anybody(_: ModelInfo) -> bool:
    return True


@pytest.mark.parametrize(
    ("name", "auto"), [("auto", True), (" AUTO ", True), ("openrouter/auto", True), ("auto/x", False)]
)
def test_auto_has_its_names(name: str, auto: bool) -> None:
    assert is_auto(name) is auto


# --- Who takes part ---------------------------------------------------------------------------------------------------
def taking_part(*models: ModelInfo, needs: Needs = CHAT, allowed: Any = anybody) -> list[str]:
    return [one.slug for one in models_for(models, allowed, needs, NOW)]


def test_only_models_that_are_active_allowed_and_answer_in_text_take_part() -> None:
    assert taking_part(
        model("a/1"),
        model("a/2", status="deprecated"),
        model("a/3", output_modalities=("embedding",)),
        model("a/4", deployment(enabled=False)),
        model("b/5"),
        allowed=lambda one: one.slug != "b/5",
    ) == ["a/1"]


def test_a_model_that_can_do_it_somewhere_takes_part() -> None:
    large, small = deployment(1, context_length=200_000), deployment(2, context_length=8_000)
    long = Needs("openai_chat", prompt_tokens=100_000)
    assert taking_part(model("a/1", small, large), model("a/2", small), needs=long) == ["a/1"]


def test_a_sandbox_is_for_those_who_have_nothing_else() -> None:
    toy, real = model("sandbox/echo", deployment(1, is_sandbox=True)), model("a/1", deployment(2))
    assert taking_part(toy, real) == ["a/1"]
    assert taking_part(toy, model("a/1", deployment(2, secret=None))) == ["sandbox/echo"]
    assert taking_part(toy, model("a/1", capabilities=without("tools")), needs=CHAT._replace(tools=True)) == [toy.slug]


# --- How good they are ------------------------------------------------------------------------------------------------
def test_more_quality_counts_less_where_less_is_enough() -> None:
    good, best = model(quality_index=85.0), model(quality_index=98.0)
    gap = {
        task: quality_for(best, CHAT._replace(task=task)) - quality_for(good, CHAT._replace(task=task))
        for task in ("chat", "code", "")
    }
    assert 0 < gap["chat"] < gap["code"] == gap[""]
    assert quality_for(best, CHAT._replace(reasoning="high")) == 98.0


def test_models_made_for_code_gain_where_there_is_code() -> None:
    code = CHAT._replace(task="code")
    for name in ("mistralai/codestral-2508", "openai/gpt-5.3-codex", "qwen/qwen3-coder-plus", "moonshotai/kimi-k2.7-code"):
        assert quality_for(model(name), code) > quality_for(model("a/general"), code)
        assert quality_for(model(name, quality_index=None), code) > quality_for(model("a/x", quality_index=None), code)
        assert quality_for(model(name), CHAT) == quality_for(model("a/general"), CHAT)


def test_what_nobody_measured_is_not_taken_for_good() -> None:
    assert quality_for(model(quality_index=None), CHAT) < quality_for(model(quality_index=50.0), CHAT)


def test_a_crowded_context_costs_quality() -> None:
    reading = Needs("openai_chat", prompt_tokens=90_000, task="long")
    assert quality_for(model(context_length=1_000_000), reading) > quality_for(model(context_length=100_000), reading)
    assert quality_for(model(context_length=1_000_000), reading) == 70.0


_tasks = st.sampled_from(["", "chat", "code", "long", "data"])
_efforts = st.sampled_from(["", "none", "low", "medium", "high", "max"])


@given(st.floats(0, 100), st.floats(0, 100), _tasks, _efforts, st.integers(0, 300_000), st.booleans())
def test_a_better_index_is_never_worse(
    one: float, other: float, task: str, reasoning: str, prompt_tokens: int, coder: bool
) -> None:
    needs = Needs("openai_chat", task=task, reasoning=reasoning, prompt_tokens=prompt_tokens)
    slug = "acme/coder" if coder else "acme/one"
    low, high = sorted((one, other))
    assert quality_for(model(slug, quality_index=low), needs) <= quality_for(model(slug, quality_index=high), needs)


# --- It never picks who can't ------------------------------------------------------------------------------------------
# Mostly what rules nobody out, or there would be nobody to pick.
_seldom = st.sampled_from([False, False, False, False, False, True])
_tristate = st.sampled_from([True, True, True, True, False, None])
_keeps_off = st.sampled_from([False, False, False, True, None])
_sizes = st.sampled_from([None, 4_000, 32_000, 128_000, 1_000_000, 1_000_000])
_capabilities = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("tools", "structured_output", "reasoning", "vision", "audio_input"), _tristate)
)


@st.composite
def _deployments(draw: st.DrawFn, id: int) -> DeploymentInfo:
    return deployment(
        id,
        provider=draw(st.sampled_from(["p1", "p2", "p3"])),
        enabled=draw(st.integers(0, 9)) > 0,
        draining=draw(st.integers(0, 9)) == 0,
        secret=draw(st.sampled_from(["s", "s", "s", None])),
        retires_on=draw(st.sampled_from([None, None, None, date(2026, 11, 1)])),
        context_length=draw(_sizes),
        max_output_tokens=draw(st.sampled_from([None, None, 1_000, 64_000])),
        region=draw(st.sampled_from(["EU", "US", ""])),
        trains_on_data=draw(_keeps_off),
        zero_retention=draw(_tristate),
        dialect=draw(st.sampled_from(["openai_chat", "openai_chat", "openai_chat", "openai_embeddings"])),
        base_urls={"openai_chat": "https://x.test", "openai_embeddings": "https://x.test"},
        is_sandbox=draw(st.integers(0, 4)) == 0,
        priority=draw(st.sampled_from([100, 50])),
    )


@st.composite
def _catalogues(draw: st.DrawFn) -> list[ModelInfo]:
    models = []
    for number in range(draw(st.integers(1, 5))):
        first = 10 * number + 1
        models.append(
            model(
                f"{draw(st.sampled_from(['acme', 'other']))}/m{number}",
                *[draw(_deployments(first + place)) for place in range(draw(st.integers(1, 3)))],
                capabilities={name: known for name, known in draw(_capabilities).items() if known is not None},
                input_modalities=draw(st.sampled_from([ALL_KINDS, ALL_KINDS, ("text", "image"), ("text",), ()])),
                output_modalities=draw(st.sampled_from([("text",), ("text",), ("embedding",)])),
                context_length=draw(_sizes),
                max_output_tokens=draw(st.sampled_from([None, 8_000])),
                quality_index=draw(st.sampled_from([None, 40.0, 90.0])),
                status=draw(st.sampled_from(["active", "active", "deprecated"])),
            )
        )
    return models


_needs = st.builds(
    Needs,
    endpoint=st.just("openai_chat"),
    prompt_tokens=st.sampled_from([0, 500, 500, 2_000, 20_000, 90_000, 500_000]),
    max_output_tokens=st.sampled_from([None, None, 500, 4_000, 32_000]),
    images=_seldom,
    audio=_seldom,
    video=_seldom,
    files=_seldom,
    tools=_seldom,
    structured_output=_seldom,
    reasoning=st.sampled_from(["", "", "none", "high"]),
    task=_tasks,
)
_wishes = st.builds(
    Wishes,
    only=st.sampled_from([(), (), (), (), ("p1",), ("p2", "p3")]),
    ignore=st.sampled_from([(), (), ("p1",)]),
    order=st.sampled_from([(), (), ("p3",)]),
    allow_fallbacks=st.booleans(),
    no_training=_seldom,
    zero_retention=_seldom,
    sort=st.sampled_from(["", "price", "latency"]),
    max_price=st.sampled_from([None, None, MaxPrice(prompt=20)]),
    preset=st.sampled_from(["", *PRESETS]),
    regions=st.sampled_from([(), (), (), ("EU",)]),
)
_policies = st.builds(
    ProjectPolicy,
    allowed_models=st.sampled_from([(), (), ("acme/*",)]),
    denied_models=st.sampled_from([(), ("*/m0",)]),
    allowed_providers=st.sampled_from([(), (), ("p1", "p2")]),
    denied_providers=st.sampled_from([(), (), ("p2",)]),
    regions=st.sampled_from([(), (), ("EU", "US")]),
    no_training=_seldom,
    zero_retention=_seldom,
    max_price=st.sampled_from([None, None, MaxPrice(completion=30)]),
)


class Prices:
    """A deployment costs its id per million tokens."""

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        return deployment.id * (prompt_tokens + output_tokens)

    def per_million(self, deployment: DeploymentInfo) -> MaxPrice:
        return MaxPrice(deployment.id, deployment.id, 0, 0)


def asking(models: list[ModelInfo], needs: Needs, wishes: Wishes, policy: ProjectPolicy) -> Asking:
    chosen = models_for(models, anybody, needs, NOW)
    return Asking(
        groups=(Group(chosen, True),),
        needs=needs,
        at=NOW,
        prices=Prices(),
        vitals=lambda _: UNKNOWN,
        speaks=lambda one: one.dialect == "openai_chat",
        wishes=wishes,
        policy=policy,
    )


@settings(max_examples=400)
@given(_catalogues(), _needs, _wishes, _policies)
def test_auto_never_picks_a_model_that_cannot_serve_the_request(
    models: list[ModelInfo], needs: Needs, wishes: Wishes, policy: ProjectPolicy
) -> None:
    try:
        plan = decide(asking(models, needs, wishes, policy))
    except NoDeployment:
        return
    for step in plan.steps:
        _check_able(step.model, step.deployment, needs)
        _check_allowed(step.model, step.deployment, wishes, policy)


def _check_able(one: ModelInfo, at: DeploymentInfo, needs: Needs) -> None:
    """In other words than the code's, from the catalogue's facts alone."""
    known, kinds = one.capabilities, one.input_modalities
    assert one.status == "active" and "text" in one.output_modalities
    assert at.enabled and not at.draining and at.secret and at.dialect == "openai_chat"
    assert at.retires_on is None or at.retires_on > NOW.date()
    assert not needs.tools or known.get("tools") is True
    assert not needs.structured_output or known.get("structured_output") is True
    assert needs.reasoning in ("", "none") or known.get("reasoning") is True
    assert not needs.images or known.get("vision", "image" in kinds) is True
    assert not needs.audio or known.get("audio_input", "audio" in kinds) is True
    assert not needs.video or "video" in kinds
    assert not needs.files or "pdf" in kinds
    context = at.context_length or one.context_length or 6_000
    assert needs.prompt_tokens + (needs.max_output_tokens or 0) <= context
    most = at.max_output_tokens or one.max_output_tokens
    assert most is None or needs.max_output_tokens is None or needs.max_output_tokens <= most


def _check_allowed(one: ModelInfo, at: DeploymentInfo, wishes: Wishes, policy: ProjectPolicy) -> None:
    assert not policy.allowed_models or one.author == "acme"
    assert not policy.denied_models or not one.slug.endswith("/m0")
    assert not policy.allowed_providers or at.provider in policy.allowed_providers
    assert at.provider not in (*policy.denied_providers, *wishes.ignore)
    assert not wishes.only or at.provider in wishes.only
    assert wishes.allow_fallbacks or not wishes.order or at.provider in wishes.order
    assert not (wishes.no_training or policy.no_training) or at.trains_on_data is False
    assert not (wishes.zero_retention or policy.zero_retention) or at.zero_retention is True
    assert not wishes.regions or at.region == "EU"
    assert not policy.regions or at.region in ("EU", "US")
    assert wishes.max_price is None or at.id <= 20
    assert policy.max_price is None or at.id <= 30


def test_auto_finds_somebody_where_somebody_can() -> None:
    plan = decide(asking([model("a/1"), model("a/2", deployment(2))], CHAT, Wishes(), DEFAULT))
    assert {step.model.slug for step in plan.steps} == {"a/1", "a/2"}


# --- Families ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("slug", "family"),
    [
        ("anthropic/claude-opus-4.8", "anthropic/claude-opus"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic/claude-haiku"),
        ("openai/gpt-4o-mini", "openai/gpt-mini"),
        ("openai/gpt-5.4-mini", "openai/gpt-mini"),
        ("openai/gpt-6.1-sol", "openai/gpt-sol"),
        ("openai/o4-mini", "openai/o-mini"),
        ("google/gemini-3-flash-preview", "google/gemini-flash"),
        ("google/gemini-3.5-flash-lite", "google/gemini-flash-lite"),
        ("qwen/qwen3.8-max", "qwen/qwen-max"),
        ("moonshotai/kimi-k2.6", "moonshotai/kimi"),
        ("moonshotai/kimi-k2.7-code", "moonshotai/kimi-code"),
        ("openai/gpt-oss-120b", "openai/gpt-oss"),
        ("a/1", "a/1"),
    ],
)
def test_a_family_is_a_maker_and_a_name_without_versions(slug: str, family: str) -> None:
    assert family_of(slug) == family


def test_relatives_are_the_nearest_of_the_family() -> None:
    mine = model("acme/claude-opus-4.8", quality_index=88.0)
    near = model("acme/claude-opus-5", quality_index=90.0)
    newer = model("acme/claude-opus-5.1", quality_index=90.0, released=date(2026, 9, 1))
    far = model("acme/claude-opus-4.5", quality_index=60.0)
    strangers = [
        model("acme/claude-haiku-4.8"),
        model("other/claude-opus-4.8"),
        model("acme/claude-opus-4", status="retired"),
    ]
    assert relatives(mine, [far, near, mine, newer, *strangers]) == (newer, near, far)


def test_embeddings_have_no_relatives() -> None:
    vectors = {"output_modalities": ("embedding",)}
    assert relatives(model("acme/embed-2", **vectors), [model("acme/embed-3", **vectors)]) == ()


@given(st.text(max_size=40))
def test_any_name_has_a_family(slug: str) -> None:
    assert isinstance(family_of(slug), str)
