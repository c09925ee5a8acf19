"""Rules of a project: written, ordered, switched; what the gateway gets of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.keys import create_key, revoke_key
from accounts.models import Project
from routing.management.commands.load_catalogue import load
from routing.models import ProjectRouting, RoutingRule
from routing.policy.project import ProjectPolicy
from routing.policy.rules import NEEDS as KNOWN_NEEDS
from routing.policy.rules import Action, Match
from routing.policy.weights import Weights
from routing.policy.wishes import MaxPrice
from routing.project_settings import RULES_MAX, add_rule, change_routing
from routing.rule_words import NEEDS
from tests.routing.routing_cast import rule_form

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalogue(write: Any) -> None:
    load(write())


def rules_url(project: Project, end: object = "new") -> str:
    return f"/projects/{project.pk}/routing/rules/{end}"


def added(client: Client, project: Project, **values: Any) -> RoutingRule:
    answer = client.post(rules_url(project), rule_form(**values))
    assert answer.status_code == 302, answer.content.decode()
    return RoutingRule.objects.latest("id")


def compiled(project: Project) -> ProjectPolicy:
    return ProjectPolicy.of_json(ProjectRouting.objects.get(project=project).compiled)


def test_all_parts_of_a_rule_reach_the_gateway(bob: Client, project: Project, told: list[int]) -> None:
    key, _raw = create_key(project, "laptop")
    rule = added(
        bob,
        project,
        requested="GPT-4o*\nauto",
        min_prompt_tokens=200,
        max_prompt_tokens=400,
        needs=["images", "tools"],
        keys=[key.pk],
        headers="X-Router-Task: summar*\nteam: blue",
        hours_from="22:30",
        hours_until="06:00",
        weekdays=[5, 6],
        timezone="Asia/Shanghai",
        models="acme/two\nacme/one",
        fallbacks="auto",
        only="local",
        ignore="acme",
        order="local",
        preset="custom",
        latency=0,
        cost=50,
        quality=50,
        cap_prompt="3",
        cap_image="0.05",
    )
    (known,) = compiled(project).rules
    assert (known.id, known.name) == (rule.pk, "long prompts")
    assert known.match == Match(
        models=("gpt-4o*", "auto"),
        min_prompt_tokens=200,
        max_prompt_tokens=400,
        needs=("images", "tools"),
        key_ids=(key.pk,),
        headers=(("x-router-task", "summar*"), ("team", "blue")),
        hours=(1350, 360),
        weekdays=(5, 6),
        timezone="Asia/Shanghai",
    )
    assert known.action == Action(
        models=("acme/two", "acme/one"),
        fallbacks=("auto",),
        only=("local",),
        ignore=("acme",),
        order=("local",),
        weights=Weights(0.0, 0.5, 0.5),
        max_price=MaxPrice(prompt=3_000_000_000, image=50_000_000),
    )
    assert told == [project.pk]


def test_an_opened_rule_is_saved_as_it_was(bob: Client, project: Project) -> None:
    rule = added(
        bob,
        project,
        headers="a: b",
        hours_from="09:00",
        hours_until="17:00",
        weekdays=[0],
        preset="best",
        needs="files",
    )
    before = compiled(project).rules
    page = bob.get(rules_url(project, rule.pk))
    form = page.context["form"]
    sent = {name: form[name].value() for name in form.fields}
    answer = bob.post(rules_url(project, rule.pk), {name: value for name, value in sent.items() if value is not None})
    assert answer.status_code == 302, answer.content.decode()
    assert compiled(project).rules == before


def test_a_rule_for_a_revoked_key_stays_one_for_that_key(bob: Client, project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    rule = added(bob, project, keys=[key.pk])
    revoke_key(key)
    page = bob.get(rules_url(project, rule.pk)).content.decode()
    assert f'value="{key.pk}" id="rule-keys_0" checked' in page.replace(' class="input"', "")


def test_a_rule_may_use_the_projects_own_names(bob: Client, project: Project) -> None:
    assert "There is no “fast”" in bob.post(rules_url(project), rule_form(models="fast")).content.decode()
    change_routing(project, None, {"aliases": {"fast": "acme/one"}})
    assert added(bob, project, models="fast").action["models"] == ["fast"]


def test_the_list_says_what_a_rule_does(bob: Client, project: Project) -> None:
    added(bob, project, requested="gpt-4o*", min_prompt_tokens=200_000, ignore="acme", cap_completion="15")
    page = bob.get(f"/projects/{project.pk}/routing").content.decode()
    assert "model gpt-4o* · prompt of at least 200,000 tokens" in page
    assert "use acme/one · never acme · at most $15 per million tokens out" in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": " "}, "This field is required"),
        ({"models": ""}, "Say what the rule does"),
        ({"models": "acme/none-such"}, "There is no “acme/none-such”"),
        ({"fallbacks": "auto:cheapest"}, "Write auto alone"),
        ({"models": "acme/*"}, "is a pattern; name one model"),
        ({"only": "nobody"}, "There is no “nobody”"),
        ({"min_prompt_tokens": 5, "max_prompt_tokens": 4}, "Must not be below the least"),
        ({"hours_from": "10:00"}, "Name both ends"),
        ({"hours_from": "10:00", "hours_until": "10:00"}, "Must differ"),
        ({"headers": "no colon"}, "write name: text"),
        ({"needs": "wings"}, "is not one of the available choices"),
        ({"keys": "99999"}, "is not one of the available choices"),
        ({"preset": "custom", "latency": 0, "cost": 0, "quality": 0}, "One of the three"),
        ({"timezone": "Mars/Base"}, "is not one of the available choices"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(
    bob: Client, project: Project, values: dict[str, Any], words: str
) -> None:
    create_key(project, "laptop")
    answer = bob.post(rules_url(project), rule_form(**values))
    assert answer.status_code == 200 and words in answer.content.decode()
    assert not RoutingRule.objects.exists()


def test_rules_change_places(bob: Client, project: Project) -> None:
    first, second, third = (added(bob, project, name=name) for name in "abc")

    def act(rule: RoutingRule, word: str) -> list[str]:
        assert bob.post(rules_url(project, f"{rule.pk}/act"), {"act": word}).status_code == 302
        return [rule.name for rule in compiled(project).rules]

    assert act(third, "up") == ["a", "c", "b"]
    assert act(first, "down") == ["c", "a", "b"]
    assert act(third, "up") == ["c", "a", "b"]  # it is the first
    assert act(second, "down") == ["c", "a", "b"]
    assert act(first, "off") == ["c", "b"]
    assert act(first, "on") == ["c", "a", "b"]
    assert act(third, "delete") == ["a", "b"]
    assert compiled(project).version == 10


def test_htmx_gets_the_list_alone(bob: Client, project: Project) -> None:
    rule = added(bob, project)
    url = rules_url(project, f"{rule.pk}/act")
    page = bob.post(url, {"act": "off"}, headers={"HX-Request": "true"}).content.decode()
    assert "Switch on" in page and "<html" not in page


def test_there_is_an_end_to_rules(bob: Client, project: Project) -> None:
    for number in range(RULES_MAX):
        add_rule(project, None, name=str(number), match={}, action={"only": ["local"]})
    answer = bob.post(rules_url(project), rule_form(), follow=True)
    assert "at most 50 rules" in answer.content.decode()
    assert RoutingRule.objects.count() == RULES_MAX


def test_rules_of_others_are_out_of_reach(alice: Client, bob: Client, project: Project) -> None:
    rule = added(bob, project)
    assert alice.get(rules_url(project, rule.pk)).status_code == 404
    assert alice.post(rules_url(project, f"{rule.pk}/act"), {"act": "delete"}).status_code == 404
    own = Project.objects.exclude(pk=project.pk).get()
    assert alice.post(rules_url(own, f"{rule.pk}/act"), {"act": "delete"}).status_code == 404
    assert RoutingRule.objects.exists()


def test_every_need_of_a_request_can_be_asked_for() -> None:
    assert set(NEEDS) == set(KNOWN_NEEDS)
