"""The page of a project's routing: what it shows, what it saves, and who hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from redis import Redis

from accounts.models import Project
from billing.pricing.money import NANOS_PER_USD
from routing.live_health import KEY, read_vitals
from routing.management.commands.load_catalogue import load
from routing.models import Deployment, ProjectRouting, Provider
from routing.policy.project import ProjectPolicy
from routing.policy.vitals import Vitals
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import MaxPrice
from tests.routing.routing_cast import settings_form

pytestmark = pytest.mark.django_db


def page_of(client: Client, project: Project, **query: str) -> str:
    answer = client.get(f"/projects/{project.pk}/routing", query)
    assert answer.status_code == 200, answer
    return str(answer.content.decode())


def ranking_of(client: Client, project: Project, **values: Any) -> str:
    answer = client.get(f"/projects/{project.pk}/routing/ranking", settings_form(**values))
    assert answer.status_code == 200, answer
    return str(answer.content.decode())


def stored(project: Project) -> ProjectPolicy:
    return ProjectPolicy.of_json(ProjectRouting.objects.get(project=project).compiled)


def refused(client: Client, project: Project, **values: Any) -> str:
    answer = client.post(f"/projects/{project.pk}/routing", settings_form(**values))
    assert answer.status_code == 200
    assert not ProjectRouting.objects.exists()
    return str(answer.content.decode())


# --- What it shows ---------------------------------------------------------------------------------------------------
def test_a_ranking_names_who_could_answer_and_why_others_are_left_out(
    bob: Client, project: Project, write: Any
) -> None:
    load(write())
    page = page_of(bob, project, preview_model="acme/one")
    assert page.index("Local") < page.index("left out")
    assert "the provider is switched off" in page  # acme, which has no credential
    assert "no data yet" in page


def test_a_draft_is_ranked_without_being_saved(bob: Client, project: Project, write: Any) -> None:
    load(write())
    Provider.objects.update(enabled=True, auth="none")
    fragment = ranking_of(bob, project, preview_model="acme/one", denied_providers="local")
    assert "<b>Acme</b>" in fragment and "among the providers never to use" in fragment
    assert "<html" not in fragment and not ProjectRouting.objects.exists()


def test_a_wrong_field_of_a_draft_does_not_break_the_ranking(bob: Client, project: Project, write: Any) -> None:
    load(write())
    assert "Local" in ranking_of(bob, project, preview_model="acme/one", max_price_prompt_nanos="cheap")


def test_the_cheapest_comes_first_for_those_who_care_for_cost(bob: Client, project: Project, write: Any) -> None:
    load(write())
    Provider.objects.update(enabled=True, auth="none")
    Deployment.objects.update(priority=1)
    local, acme = (Deployment.objects.get(provider__slug=slug, model__slug="acme/one") for slug in ("local", "acme"))
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.hset(KEY, str(local.pk), json.dumps([3.0, 10.0, 0.01, 50, 50, 0.5, "closed"]))
        redis.hset(KEY, str(acme.pk), json.dumps([0.2, 200.0, 0.01, 120, 120, 0.5, "closed"]))
        try:
            cheap = ranking_of(bob, project, preset="cheapest", preview_model="acme/one")
            quick = ranking_of(bob, project, preset="fastest", preview_model="acme/one")
        finally:
            redis.delete(KEY)
    assert cheap.index("<b>Local</b>") < cheap.index("<b>Acme</b>")
    assert quick.index("<b>Acme</b>") < quick.index("<b>Local</b>")
    assert "200 ms" in quick and "200 tokens/s" in quick and "of 120 recent attempts" in quick


def test_the_cost_of_the_sample_request_is_shown_with_six_places(bob: Client, project: Project, write: Any) -> None:
    load(write())
    fragment = ranking_of(bob, project, preview_model="acme/one", preview_sample="code")
    # 12,000 tokens in at $1, 700 out at $4
    assert '$0.01<span class="fine">4800' in fragment


def test_an_open_breaker_is_named(bob: Client, project: Project, write: Any) -> None:
    load(write())
    local = Deployment.objects.get(provider__slug="local")
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.hset(KEY, str(local.pk), json.dumps([1.0, 50.0, 0.9, 50, 3, 0.5, "open"]))
        try:
            assert "failing" in ranking_of(bob, project, preview_model="acme/one")
        finally:
            redis.delete(KEY)


def test_what_another_version_wrote_is_read_as_far_as_it_goes() -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.hset(
            KEY,
            mapping={
                "1": "[1.5, 20, 0.1]",
                "2": json.dumps(list(range(1, len(Vitals._fields) + 3))),
                "x": "[1,2,3]",
                "3": "no json",
            },
        )
        try:
            assert read_vitals() == {1: Vitals(1.5, 20, 0.1), 2: Vitals(*range(1, len(Vitals._fields) + 1))}  # type: ignore[arg-type]
        finally:
            redis.delete(KEY)


def test_without_redis_there_is_no_news_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.live_health.redis_client", lambda: Redis(port=1))
    assert read_vitals() == {}


# --- What it saves ---------------------------------------------------------------------------------------------------
def test_everything_that_was_chosen_reaches_the_gateway(
    bob: Client,
    project: Project,
    write: Any,
    told: list[int],
) -> None:
    load(write())
    Provider.objects.filter(slug="acme").update(region="EU")
    form = settings_form(
        preset="custom",
        latency_weight=50,
        cost_weight=25,
        quality_weight=0,
        allowed_models="acme/*",
        denied_models="acme/two",
        denied_providers="ACME",
        regions=["EU"],
        no_training="on",
        zero_retention="on",
        max_price_prompt_nanos="2.5",
        max_price_request_nanos="0",
        same_family_fallback="on",
        exploration="",
        hedge="paid",
        stream_failure="continue",
        aliases="fast = acme/one\nbig→one-latest\nany = auto",
    )
    answer = bob.post(f"/projects/{project.pk}/routing", form)
    assert answer.status_code == 302, answer.content.decode()
    assert stored(project) == ProjectPolicy(
        version=1,
        preset="custom",
        weights=Weights(0.5, 0.25, 0.0),
        allowed_models=("acme/*",),
        denied_models=("acme/two",),
        denied_providers=("acme",),
        regions=("EU",),
        no_training=True,
        zero_retention=True,
        max_price=MaxPrice(prompt=5 * NANOS_PER_USD // 2, request=0),
        same_family_fallback=True,
        exploration=False,
        hedge="paid",
        stream_failure="continue",
        aliases={"fast": "acme/one", "big": "one-latest", "any": "auto"},
    )
    assert told == [project.pk]
    page = page_of(bob, project)
    assert "fast = acme/one" in page and 'value="2.5"' in page and "Version 1" in page


def test_a_preset_brings_its_own_weights_whatever_the_sliders_say(bob: Client, project: Project) -> None:
    bob.post(f"/projects/{project.pk}/routing", settings_form(preset="fastest", cost_weight=100))
    assert stored(project).weights == PRESETS["fastest"]


def test_each_change_raises_the_version(bob: Client, project: Project) -> None:
    for preset in ("best", "cheapest"):
        bob.post(f"/projects/{project.pk}/routing", settings_form(preset=preset))
    assert stored(project).version == 2


def test_a_default_project_has_nothing_stored(bob: Client, project: Project) -> None:
    assert "These are the defaults." in page_of(bob, project)
    assert not ProjectRouting.objects.exists()


# --- What it refuses -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"denied_providers": "acmee"}, "Did you mean acme?"),
        ({"allowed_models": "acme/thre"}, "There is no “acme/thre”"),
        ({"allowed_models": "acme/one acme/won"}, "There is no “acme/won”. Did you mean acme/"),
        ({"aliases": "fast acme/one"}, "write name = model"),
        ({"aliases": "auto = acme/one"}, "auto has its own meaning"),
        ({"aliases": "fast = auto:best"}, "Write auto alone"),
        ({"aliases": "fast = acme/*"}, "is a pattern; name one model"),
        ({"preset": "custom", "latency_weight": 0, "cost_weight": 0, "quality_weight": 0}, "One of the three"),
        ({"max_price_prompt_nanos": "-1"}, "greater than or equal to 0"),
        ({"preset": "magic"}, "magic is not one of the available choices"),
        ({"hedge": "theirs"}, "theirs is not one of the available choices"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    bob: Client, project: Project, write: Any, values: dict[str, Any], words: str
) -> None:
    load(write())
    assert words in refused(bob, project, **values)


def test_a_name_that_was_fine_once_does_not_block_later_changes(bob: Client, project: Project, write: Any) -> None:
    load(write())
    form = settings_form(denied_providers="acme", denied_models="acme/two")
    bob.post(f"/projects/{project.pk}/routing", form)
    Deployment.objects.filter(provider__slug="acme").delete()
    Provider.objects.filter(slug="acme").delete()
    assert bob.post(f"/projects/{project.pk}/routing", {**form, "preset": "best"}).status_code == 302


def test_the_section_with_the_error_is_open(bob: Client, project: Project) -> None:
    page = refused(bob, project, aliases="nonsense")
    assert page.count('<details class="panel" open>') == 1


# --- Whose it is -----------------------------------------------------------------------------------------------------
def test_nobody_else_sees_or_changes_it(alice: Client, project: Project) -> None:
    for path in ("", "/ranking", "/rules/new"):
        assert alice.get(f"/projects/{project.pk}/routing{path}").status_code == 404
    assert alice.post(f"/projects/{project.pk}/routing", settings_form()).status_code == 404
    assert not ProjectRouting.objects.exists()


def test_visitors_sign_in_first(client: Client, project: Project) -> None:
    assert "/accounts/login" in client.get(f"/projects/{project.pk}/routing")["Location"]


def test_the_short_address_leads_to_the_first_project_or_the_chosen_one(bob: Client, project: Project) -> None:
    other = Project.objects.create(organization=project.organization, name="Other")
    assert bob.get("/routing")["Location"] == f"/projects/{project.pk}/routing"
    assert bob.get(f"/routing?project={other.pk}")["Location"] == f"/projects/{other.pk}/routing"
    assert bob.get("/routing?project=99999999").status_code == 404
