"""Every recorded answer through the running gateway: the same as without it, and what was promised in translation.

`make recorded` plays all of them in all pairs and prints the counts; `make test` plays all in their own dialect and a
share of the translations.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command

from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.recorded import corpus
from tests.scenarios.recorded.promises import broken, same_as_direct
from tests.scenarios.recorded.readers import Read, Sdks

pytestmark = [
    pytest.mark.skipif(not corpus.CORPUS.is_dir(), reason="no corpus of recorded exchanges beside the project"),
    pytest.mark.filterwarnings("ignore::UserWarning:google.genai", "ignore::DeprecationWarning:google.genai"),
]
ALL = os.environ.get("RECORDED") == "all"
AT_ONCE = 12

# Where an SDK reads something else through the gateway than directly, on purpose; with the reason.
BETTER_THAN_DIRECT = {
    "am-anthropic-2f377df": "ends in a [DONE] that the package cannot parse; the gateway leaves it out",
    "oc-openai-1c10d4f": "ends without a finish, which makes some clients ask for ever; the gateway adds it",
    "or-azure-openai-787a0ae": "holds four answers in a row; the gateway ends with the first one's end",
    "gg-google-vertex-370f3e4": "ends without a finish: a cut stream, and the gateway says so",
    "gg-google-vertex-a5c8c66": "ends without a finish: a cut stream, and the gateway says so",
}
# Where a translation arrives otherwise than the recording is described, on purpose; with the reason.
OTHER_THAN_DESCRIBED = {
    "oc-azure-ai-f0f2297": "161 cached of 7 prompt tokens: cut to the whole",
    "oc-openrouter-e959cfb": "more tokens written to the cache than read: cut to the whole",
    "oc-openai-d10d820": "a legacy function call is a call",
    "oc-openai-f118993": "a legacy function call is a call",
    "or-azure-openai-787a0ae": "holds four answers in a row; the gateway ends with the first one's end",
    "or-openai-2c18ed9": "a call in a namespace, which is part of the name for those who have none",
    "gg-google-5cc8d66": "calls that come in pieces are put together",
    "gg-google-c8cc968": "calls that come in pieces are put together",
    "gg-google-vertex-370f3e4": "ends without a finish: a cut stream, and the gateway says so",
    "gg-google-vertex-a5c8c66": "ends without a finish: a cut stream, and the gateway says so",
    **dict.fromkeys(
        ("am-anthropic-6208cd7", "am-anthropic-6dff634", "am-anthropic-bf64c8f"),
        "the explanation of a refusal is told as its text",
    ),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Any]:
    with corpus.replayer().serve_in_thread([corpus.CORPUS]) as server:
        yield server


@pytest.fixture(scope="module")
def customer(stack: Stack, upstream: Any, tmp_path_factory: pytest.TempPathFactory) -> Customer:
    folder = tmp_path_factory.mktemp("recorded")
    corpus.write_catalogue(folder, upstream.url)
    call_command("load_catalogue", str(folder), quiet=True)
    someone = stack.customer(credit_usd="1000000", requests_per_minute=1_000_000)
    client = stack.openai(someone)
    wanted = {corpus.slug(exchange) for exchange in corpus.exchanges()}
    stack.until(lambda: wanted <= {model.id for model in client.models.list()})
    return someone


async def _play(url: str, key: str, wanted: list[tuple[dict[str, Any], str, str]]) -> list[Read]:
    """Read each (exchange, client dialect, model) with the client's SDK."""
    sdks = Sdks(url, key)
    free = asyncio.Semaphore(AT_ONCE)

    async def one(exchange: dict[str, Any], client: str, model: str) -> Read:
        async with free:
            return await sdks.read(client, model, stream=exchange["streaming"])

    try:
        return list(await asyncio.gather(*(one(*item) for item in wanted)))
    finally:
        await sdks.close()


def test_in_its_own_dialect_every_answer_is_what_the_sdk_reads_without_the_gateway(
    stack: Stack, customer: Customer, upstream: Any
) -> None:
    every = corpus.exchanges()
    own = [corpus.dialect_of(exchange) for exchange in every]
    names = [corpus.upstream_name(exchange, number) for number, exchange in enumerate(every)]
    direct = asyncio.run(_play(upstream.url, "sk-direct", list(zip(every, own, names, strict=True))))
    slugs = [corpus.slug(exchange) for exchange in every]
    through = asyncio.run(_play(stack.url, customer.key, list(zip(every, own, slugs, strict=True))))
    wrong = {}
    counts: Counter[str] = Counter()
    for exchange, dialect, before, after in zip(every, own, direct, through, strict=True):
        found = same_as_direct(exchange, before, after)
        counts[f"{dialect} {'ok' if not found else 'other'}"] += 1
        if found and exchange["id"] not in BETTER_THAN_DIRECT:
            wrong[exchange["id"]] = found
    print("\nown dialect:", dict(sorted(counts.items())))
    assert not wrong, _listed(wrong)


def test_in_other_dialects_every_answer_keeps_what_was_promised(stack: Stack, customer: Customer) -> None:
    every = corpus.answered()
    wanted = [
        (exchange, client, corpus.slug(exchange))
        for number, exchange in enumerate(every)
        for place, client in enumerate(corpus.DIALECTS)
        if client != corpus.dialect_of(exchange) and (ALL or (number + place) % 6 == 0)
    ]
    read = asyncio.run(_play(stack.url, customer.key, wanted))
    wrong = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for (exchange, client, _), got in zip(wanted, read, strict=True):
        found = broken(exchange, client, got)
        counts[client, corpus.dialect_of(exchange), "kept" if not found else "otherwise"] += 1
        if found and exchange["id"] not in OTHER_THAN_DESCRIBED:
            wrong[exchange["id"], client] = found
    print("\nclient, provider:")
    for pair, count in sorted(counts.items()):
        print(f"  {pair[0]:20} {pair[1]:20} {pair[2]:10} {count}")
    assert not wrong, _listed(wrong)


def _listed(wrong: dict[Any, list[str]]) -> str:
    return "\n".join(f"{name}: {found}" for name, found in wrong.items())
