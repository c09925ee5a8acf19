from __future__ import annotations

from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.rates import RateCard
from routing.policy.auto import MOST_MODELS, is_auto, models_for, quality_for, rough_prices
from routing.policy.candidate import Catalogue, DeploymentInfo, ModelInfo
from routing.policy.decide import Asking, Group, decide
from routing.policy.family import family_of, is_relative, relatives
from routing.policy.needs import Needs
from routing.policy.plan import NoDeployment
from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.vitals import UNKNOWN
from routing.policy.weights import BALANCED, PRESETS
from routing.policy.wishes import MaxPrice, Wishes
from tests.routing.policy.cast import ABLE, ALL_KINDS, NOW, deployment, model, without

TASKS = ("", "chat", "code", "long", "data")
SIZES = (None, 4_000, 32_000, 128_000, 1_000_000, 1_000_000)
CHAT = Needs("openai_chat", prompt_tokens=500, task="chat")


def anybody(_: ModelInfo) -> bool:
    return True


@pytest.mark.parametrize(
    ("name", "auto"), [("auto", True), (" AUTO ", True), ("openrouter/auto", True), ("auto/x", False)]
)
def test_auto_has_its_names(name: str, auto: bool) -> None:
    assert is_auto(name) is auto


# --- Who takes part ---------------------------------------------------------------------------------------------------
def taking_part(*models: ModelInfo, needs: Needs = CHAT, allowed: Any = anybody, **more: Any) -> list[str]:
    return [one.slug for one in models_for(models, allowed, needs, NOW, **more)]


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


def test_where_there_are_plenty_nobody_takes_part_who_is_much_worse_than_the_best() -> None:
    good = [model(f"a/good{number}", quality_index=75.0) for number in range(6)]
    best, poor, unknown = (model(f"a/{index}", quality_index=index) for index in (100.0, 40.0, None))
    chat = CHAT._replace(task="")
    assert taking_part(*good, poor, unknown, best, needs=chat) == [one.slug for one in (*good, best)]
    assert taking_part(*good[:3], poor, best, needs=chat) == [one.slug for one in (*good[:3], poor, best)]
    many = [model(f"a/great{number}", quality_index=99.0) for number in range(6)]
    assert taking_part(*good, *many, needs=chat, weights=PRESETS["best"]) == [one.slug for one in many]


def test_with_prices_only_the_likeliest_are_looked_at() -> None:
    models = [model(f"a/m{number:02}", quality_index=70.0 + number) for number in range(30)]
    prices = {one.slug: 1.0 + number for number, one in enumerate(models)}
    cheap = taking_part(*models, weights=PRESETS["cheapest"], prices=prices)
    good = taking_part(*models, needs=CHAT._replace(task=""), weights=PRESETS["best"], prices=prices)
    assert len(cheap) == MOST_MODELS and cheap[0] == "a/m00" and "a/m29" not in cheap
    assert "a/m29" in good and "a/m00" not in good
    assert len(taking_part(*models)) == 30


def test_a_rough_price_is_that_of_the_cheapest_deployment_in_use() -> None:
    def card(price: str) -> tuple[RateCard, ...]:
        return (RateCard(1, "standard", None, None, 0, None, {"input": Decimal(price), "output": Decimal(price)}),)

    catalogue = Catalogue(
        models={
            "a/1": model("a/1", deployment(1, price_cards=card("3")), deployment(2, price_cards=card("2"))),
            "a/2": model("a/2", deployment(3, price_cards=card("1"), enabled=False)),
            "a/3": model("a/3", deployment(4, price_cards=card("14"), currency="CNY")),
            "a/4": model("a/4", deployment(5, price_cards=card("9"), currency="XXX")),
        },
        aliases={},
        withdrawn={},
        exchange_rates={"CNY": [(NOW, Decimal(7))]},
    )
    assert rough_prices(catalogue, NOW) == {"a/1": 2.0, "a/3": 2.0}


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
    for name in (
        "mistralai/codestral-2508",
        "openai/gpt-5.3-codex",
        "qwen/qwen3-coder-plus",
        "moonshotai/kimi-k2.7-code",
    ):
        assert quality_for(model(name), code) > quality_for(model("a/general"), code)
        assert quality_for(model(name, quality_index=None), code) > quality_for(model("a/x", quality_index=None), code)
        assert quality_for(model(name), CHAT) == quality_for(model("a/general"), CHAT)


def test_what_nobody_measured_is_not_taken_for_good() -> None:
    assert quality_for(model(quality_index=None), CHAT) < quality_for(model(quality_index=50.0), CHAT)


def test_a_crowded_context_costs_quality() -> None:
    reading = Needs("openai_chat", prompt_tokens=90_000, task="long")
    assert quality_for(model(context_length=1_000_000), reading) > quality_for(model(context_length=100_000), reading)
    assert quality_for(model(context_length=1_000_000), reading) == 70.0


_tasks = st.sampled_from(TASKS)
_efforts = st.sampled_from(["", "none", "low", "medium", "high", "max"])


@given(st.floats(0, 100), st.floats(0, 100), _tasks, _efforts, st.integers(0, 300_000), st.booleans())
def test_a_better_index_is_never_worse(
    one: float, other: float, task: str, reasoning: str, prompt_tokens: int, coder: bool
) -> None:
    needs = Needs("openai_chat", task=task, reasoning=reasoning, prompt_tokens=prompt_tokens)
    slug = "acme/coder" if coder else "acme/one"
    low, high = sorted((one, other))
    assert quality_for(model(slug, quality_index=low), needs) <= quality_for(model(slug, quality_index=high), needs)


# --- It never picks who can't -----------------------------------------------------------------------------------------
class Chance(Random):
    """Makes up catalogues and requests, mostly of what rules nobody out."""

    def seldom(self) -> bool:
        return self.random() < 0.12

    def known(self, usual: bool) -> bool | None:
        return self.choices((usual, not usual, None), (8, 1, 1))[0]

    def deployment(self, id: int) -> DeploymentInfo:
        return deployment(
            id,
            provider=self.choice(("p1", "p2", "p3")),
            enabled=not self.seldom(),
            draining=self.seldom(),
            secret=None if self.seldom() else "s",
            retires_on=date(2026, 11, 1) if self.seldom() else None,
            context_length=self.choice(SIZES),
            max_output_tokens=self.choice((None, None, 1_000, 64_000)),
            region=self.choice(("EU", "EU", "US", "")),
            trains_on_data=self.known(False),
            zero_retention=self.known(True),
            dialect="openai_embeddings" if self.seldom() else "openai_chat",
            base_urls={"openai_chat": "https://x.test", "openai_embeddings": "https://x.test"},
            is_sandbox=self.seldom(),
            priority=self.choice((50, 100)),
        )

    def model(self, number: int) -> ModelInfo:
        known = {name: self.known(True) for name in ABLE}
        return model(
            f"{self.choice(('acme', 'other'))}/m{number}",
            *[self.deployment(10 * number + place) for place in range(1, self.randint(2, 4))],
            capabilities={name: value for name, value in known.items() if value is not None},
            input_modalities=self.choice((ALL_KINDS, ALL_KINDS, ("text", "image"), ("text",), ())),
            output_modalities=("embedding",) if self.seldom() else ("text",),
            context_length=self.choice(SIZES),
            max_output_tokens=self.choice((None, 8_000)),
            quality_index=self.choice((None, 40.0, 90.0)),
            status="deprecated" if self.seldom() else "active",
        )

    def needs(self) -> Needs:
        flags = ("images", "audio", "video", "files", "tools", "structured_output")
        return Needs(
            "openai_chat",
            prompt_tokens=self.choice((0, 500, 500, 2_000, 20_000, 90_000, 500_000)),
            max_output_tokens=self.choice((None, None, 500, 4_000, 32_000)),
            reasoning=self.choice(("", "", "none", "high")),
            task=self.choice(TASKS),
            **dict[str, Any]((name, self.random() < 0.2) for name in flags),
        )

    def wishes(self) -> Wishes:
        return Wishes(
            only=self.choice(((), (), (), (), ("p1",), ("p2", "p3"))),
            ignore=self.choice(((), (), (), ("p1",))),
            order=self.choice(((), (), ("p3",))),
            allow_fallbacks=not self.seldom(),
            no_training=self.seldom(),
            zero_retention=self.seldom(),
            sort=self.choice(("", "", "price", "latency")),
            max_price=self.choice((None, None, MaxPrice(prompt=20))),
            preset=self.choice(("", *PRESETS)),
            regions=self.choice(((), (), ("EU",))),
        )

    def policy(self) -> ProjectPolicy:
        return ProjectPolicy(
            allowed_models=self.choice(((), (), ("acme/*",))),
            denied_models=self.choice(((), (), ("*/m0",))),
            allowed_providers=self.choice(((), (), ("p1", "p2"))),
            denied_providers=self.choice(((), (), ("p2",))),
            regions=self.choice(((), (), ("EU", "US"))),
            no_training=self.seldom(),
            zero_retention=self.seldom(),
            max_price=self.choice((None, None, MaxPrice(completion=30))),
        )


class Prices:
    """A deployment costs its id per million tokens."""

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        return deployment.id * (prompt_tokens + output_tokens)

    def per_million(self, deployment: DeploymentInfo, prompt_tokens: int) -> MaxPrice:
        return MaxPrice(deployment.id, deployment.id, 0, 0)


def asking(models: list[ModelInfo], needs: Needs, wishes: Wishes, policy: ProjectPolicy) -> Asking:
    prices = {one.slug: float(number) for number, one in enumerate(models)}
    chosen = models_for(models, anybody, needs, NOW, weights=PRESETS.get(wishes.preset, BALANCED), prices=prices)
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


def test_auto_never_picks_a_model_that_cannot_serve_the_request() -> None:
    served = 0
    for seed in range(3_000):
        chance = Chance(seed)
        models = [chance.model(number) for number in range(chance.randint(1, 6))]
        needs, wishes, policy = chance.needs(), chance.wishes(), chance.policy()
        try:
            plan = decide(asking(models, needs, wishes, policy))
        except NoDeployment:
            continue
        served += 1
        for step in plan.steps:
            _check_able(step.model, step.deployment, needs)
            _check_allowed(step.model, step.deployment, wishes, policy)
    assert served > 300  # or nothing was shown


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
    context = at.context_length or one.context_length or 8_000
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


@pytest.mark.parametrize(
    ("name", "slug", "related"),
    [
        ("claude-3-5-sonnet-20241022", "anthropic/claude-sonnet-5.5", True),
        ("anthropic/claude-opus-4-1", "anthropic/claude-opus-5.5", True),
        ("gemini-2.0-flash", "google/gemini-3.8-flash", True),
        ("gpt-4", "openai/gpt-6.1-sol", False),
        ("acme/claude-opus-4", "anthropic/claude-opus-5.5", False),
        ("opus-4", "anthropic/claude-opus-5.5", False),
    ],
)
def test_a_withdrawn_name_may_lack_its_maker(name: str, slug: str, related: bool) -> None:
    assert is_relative(name, slug) is related


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
