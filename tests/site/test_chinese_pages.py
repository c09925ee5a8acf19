"""What a Chinese reader sees holds no English sentence, also where a text of allauth's or Django's own is shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.test import Client

from routing.models import Model

pytestmark = pytest.mark.django_db
ENGLISH = re.compile(r"[A-Za-z][a-z’']*(?:,? [a-z][a-z’']*){2,}")  # three words, of which only the first may be a name
SPOKEN = ("title", "aria-label", "placeholder", "alt", "content", "data-copied", "data-not-copied", "data-failed")
VOID = {"meta", "link", "input", "br", "hr", "img", "use"}
PUBLIC = [
    "/",
    "/docs",
    "/docs/charges",
    "/pricing",
    "/models",
    "/models/sandbox/echo",
    "/models/nobody/nothing",
    "/nothing-here",
]
ENTRANCE = ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/password/reset/done/"]
OWN = [
    "/overview",
    "/keys",
    "/keys/new",
    "/logs",
    "/logs?span=all",
    "/wallet?need=1",
    "/plans",
    "/plans/choose/ultra",
    "/projects",
    "/settings",
]
ACCOUNT = ["email/", "password/change/", "2fa/", "2fa/totp/activate/", "logout/", "reauthenticate/"]


class Words(HTMLParser):
    """What is read on a page or said by a screen reader, without code and without what is marked as English."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        muted = tag in {"script", "code", "pre"} or known.get("lang") == "en"
        if not muted:
            self.said += [known[name] or "" for name in SPOKEN if name in known and known.get("name") != "htmx-config"]
        if tag not in VOID:
            self._open.append((tag, muted))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(muted for _, muted in self._open):
            self.said.append(data)

    def english(self) -> list[str]:
        return [one.strip() for one in self.said if ENGLISH.search(one)]


def left_over(client: Client, path: str) -> list[str]:
    """Without what staff write about a model, which is in one language."""
    written = set(Model.objects.values_list("description", flat=True))
    page = client.get(path, headers={"accept-language": "zh-CN,zh;q=0.9"}, follow=True).content.decode()
    assert '<html lang="zh-Hans">' in page
    return [one for one in Words(page).english() if one not in written]


@pytest.mark.parametrize("path", [*PUBLIC, *ENTRANCE])
def test_a_visitor_reads_no_english(client: Client, catalogue: None, path: str) -> None:
    assert left_over(client, path) == []


@pytest.mark.parametrize("path", [*OWN, *(f"/accounts/{one}" for one in ACCOUNT)])
def test_a_customer_reads_no_english(signed_in: Client, catalogue: None, path: str) -> None:
    assert left_over(signed_in, path) == []


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/", "大模型网关"),
        ("/docs", "快速开始"),
        ("/models", "模型"),
        ("/accounts/login/", "登录"),
        ("/accounts/signup/", "创建账号"),
        ("/zh/", "大模型网关"),
        ("/zh/docs", "快速开始"),
        ("/zh/models", "模型"),
    ],
)
def test_headings_are_chinese(client: Client, path: str, heading: str) -> None:
    page = client.get(path, headers={"accept-language": "zh-CN"}).content.decode()
    assert re.search(rf"<h1[^>]*>[^<]*{heading}", page)


def test_an_english_page_is_seen_to_be_english(client: Client) -> None:
    page = client.get("/accounts/signup/", headers={"accept-language": "en"}).content.decode()
    assert len(Words(page).english()) > 3
