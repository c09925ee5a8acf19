from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User

pytestmark = pytest.mark.django_db
HAN = re.compile(r"[\u4e00-\u9fff]")
ALTERNATE = re.compile(r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)">')


def text_of(client: Client, path: str, **headers: str) -> str:
    return str(client.get(path, headers=headers).content.decode())


@pytest.mark.parametrize("path", ["/", "/docs", "/models", "/models/sandbox/echo"])
def test_each_public_page_names_its_two_languages_in_both(client: Client, catalogue: None, path: str) -> None:
    wanted = {
        "en": f"{settings.PUBLIC_URL}{path}",
        "zh-Hans": f"{settings.PUBLIC_URL}/zh{path}",
        "x-default": f"{settings.PUBLIC_URL}{path}",
    }
    for address, own in ((path, wanted["en"]), (f"/zh{path}", wanted["zh-Hans"])):
        page = text_of(client, address)
        assert dict(ALTERNATE.findall(page)) == wanted
        assert f'<link rel="canonical" href="{own}">' in page


def test_pages_with_one_address_name_no_other(client: Client) -> None:
    assert ALTERNATE.findall(text_of(client, "/accounts/login/")) == []


@pytest.mark.parametrize("path", ["/zh", "/zh/", "/zh/docs", "/zh/models"])
def test_below_zh_a_page_is_chinese_whatever_the_browser_asks(client: Client, path: str) -> None:
    page = text_of(client, path, accept_language="en-GB")
    assert '<html lang="zh-Hans">' in page
    assert re.search(r"<h1[^>]*>[^<]*[\u4e00-\u9fff]", page)


def test_only_public_pages_have_an_address_below_zh(client: Client) -> None:
    for path in ("/zh/keys", "/zh/overview", "/zh/admin/", "/zh/accounts/login/", "/zhong"):
        assert client.get(path).status_code == 404, path


def test_a_browser_that_asks_for_chinese_gets_it(client: Client) -> None:
    assert '<html lang="zh-Hans">' in text_of(client, "/accounts/signup/", accept_language="zh-CN,zh;q=0.9")
    assert '<html lang="en">' in text_of(client, "/accounts/signup/", accept_language="fr")


def test_who_comes_in_by_a_chinese_page_signs_up_in_chinese(client: Client) -> None:
    client.get("/zh/")
    assert '<html lang="zh-Hans">' in text_of(client, "/accounts/signup/", accept_language="en")


def test_a_choice_made_before_is_not_overwritten_by_a_chinese_page(client: Client) -> None:
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    client.get("/zh/")
    assert '<html lang="en">' in text_of(client, "/accounts/signup/")


def test_the_switch_leads_to_the_same_page_in_the_other_language(client: Client) -> None:
    for path, other in (("/docs", "/zh/docs"), ("/models?q=one", "/zh/models?q=one"), ("/zh/docs", "/docs")):
        assert f'name="next" value="{other}"' in text_of(client, path, accept_language="en")
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/zh/docs"})
    assert client.cookies[settings.LANGUAGE_COOKIE_NAME].value == "zh-hans"


def test_the_dashboard_keeps_its_address_and_follows_the_account(signed_in: Client, alice: User) -> None:
    alice.language = "zh-hans"
    alice.save()
    page = text_of(signed_in, "/overview", accept_language="en")
    assert '<html lang="zh-Hans">' in page and "总览" in page
    assert 'name="next" value="/overview"' in page


def test_a_reader_of_a_chinese_address_gets_chinese_though_the_account_is_english(
    signed_in: Client, alice: User
) -> None:
    alice.language = "en"
    alice.save()
    assert '<html lang="zh-Hans">' in text_of(signed_in, "/zh/docs")


@pytest.mark.parametrize("path", ["/overview", "/keys", "/logs", "/wallet", "/projects", "/settings"])
def test_pages_of_a_customer_are_chinese_in_every_heading(signed_in: Client, path: str) -> None:
    page = text_of(signed_in, path, accept_language="zh-CN")
    headings = re.findall(r"<h[12][^>]*>([^<]+)<", page)
    assert headings
    assert [one for one in headings if not HAN.search(one)] == []


def test_long_numbers_are_grouped_by_thousands_in_chinese_too() -> None:
    from django.contrib.humanize.templatetags.humanize import intcomma
    from django.utils import translation

    with translation.override("zh-hans"):
        assert intcomma(1234567) == "1,234,567"
