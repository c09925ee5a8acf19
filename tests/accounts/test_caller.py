"""The gateway's view of keys, against real PostgreSQL and Valkey; two directories stand for two processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django.utils import timezone
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from accounts import caller as caller_module
from accounts.announce import announce_every_key
from accounts.caller import Caller, CallerDirectory, CallersUnavailable, KeyRefused
from accounts.ip_limits import allows
from accounts.key_format import generate
from accounts.keys import change_key, create_key, revoke_key
from accounts.models import ApiKey, Organization, Project
from accounts.projects import archive_project, change_project, create_project
from accounts.signup import create_organization
from billing.models.ledger import LedgerAccount
from billing.models.plans import Budget, Plan, Subscription
from routing.policy.project import ProjectPolicy
from routing.policy.weights import PRESETS
from routing.project_settings import change_routing

Open = Callable[..., Awaitable[CallerDirectory]]
REVOKED_WITHIN_S = HEARD_WITHIN_S = 1.0


class CountingPool(AsyncConnectionPool):
    """Counts how often anybody asks the database."""

    asked = 0

    def connection(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def, override]
        self.asked += 1
        return super().connection(*args, **kwargs)  # type: ignore[arg-type]


class Proxy:
    """Stands between a directory and Valkey; can fall silent without closing, or cut its connections."""

    def __init__(self, redis_url: str) -> None:
        self._path = redis_url.removeprefix("unix://").partition("?")[0]
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: list[asyncio.StreamWriter] = []
        self.is_open = True

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def silence(self) -> None:
        self._flowing.clear()

    def cut(self) -> None:
        self.is_open = False
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            writer.close()


@pytest.fixture
def raw_key(conninfo: str) -> str:
    _organization, project = create_organization(name="Personal", owner=None)
    return create_key(project, "laptop")[1]


@pytest.fixture(autouse=True)
async def _close_connections(conninfo: str) -> AsyncIterator[None]:
    """The ORM's calls run in a thread, whose connection would outlive the test."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def pool(conninfo: str) -> AsyncIterator[CountingPool]:
    async with CountingPool(conninfo, min_size=1, max_size=4, kwargs={"autocommit": True}, open=False) as pool:
        yield pool


@pytest.fixture
async def open_directory(pool: CountingPool, redis_url: str) -> AsyncIterator[Open]:
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(url: str = redis_url, *, hearing: bool = True) -> CallerDirectory:
            redis = Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
            stack.push_async_callback(redis.aclose)
            directory = CallerDirectory(
                pool, redis, pepper=settings.API_KEY_PEPPER.encode(), default_requests_per_minute=600
            )
            await directory.start()
            stack.push_async_callback(directory.stop)
            if hearing:
                await until(lambda: directory.hears_changes)
            return directory

        yield open_one


async def until(is_so: Callable[[], bool], deadline_s: float = 10.0) -> None:
    ends = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.01)


async def refused_reason(directory: CallerDirectory, raw_key: str) -> str | None:
    try:
        await directory.find(raw_key)
    except KeyRefused as refused:
        return refused.reason
    return None


async def until_refused(directory: CallerDirectory, raw_key: str, deadline_s: float) -> str:
    ends = time.monotonic() + deadline_s
    while (reason := await refused_reason(directory, raw_key)) is None:
        assert time.monotonic() < ends, f"still accepted after {deadline_s} s"
        await asyncio.sleep(0.01)
    return reason


@sync_to_async
def revoke_the_key() -> None:
    revoke_key(ApiKey.objects.get())


async def test_a_key_finds_its_caller(open_directory: Open, raw_key: str) -> None:
    caller = await (await open_directory()).find(raw_key)
    key = await ApiKey.objects.select_related("project").aget()
    assert (caller.organization_id, caller.project_id, caller.api_key_id) == (
        key.project.organization_id,
        key.project_id,
        key.pk,
    )
    assert (caller.requests_per_minute, caller.expires_at) == (600, None)


async def test_a_known_key_asks_the_database_once(open_directory: Open, pool: CountingPool, raw_key: str) -> None:
    directory = await open_directory()
    await asyncio.gather(*(directory.find(raw_key) for _ in range(20)))
    await directory.find(raw_key)
    assert pool.asked == 1


async def test_garbage_never_reaches_the_database(open_directory: Open, pool: CountingPool, raw_key: str) -> None:
    directory = await open_directory()
    for garbage in ("", "sk-ro-", "sk-ro-" + "a" * 40, raw_key[:-1], raw_key + "x", "sk-ключ", "x" * 100_000):
        assert await refused_reason(directory, garbage) == "malformed"
    assert pool.asked == 0


async def test_an_unknown_key_is_asked_about_once(open_directory: Open, pool: CountingPool, raw_key: str) -> None:
    directory = await open_directory()
    stranger = generate()
    for _ in range(5):
        assert await refused_reason(directory, stranger) == "unknown"
    assert pool.asked == 1


async def test_what_is_remembered_is_bounded(
    open_directory: Open, raw_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_module, "REFUSED_MAX", 3)
    directory = await open_directory()
    for _ in range(10):
        assert await refused_reason(directory, generate()) == "unknown"
    assert len(directory._refused) == 3


async def test_a_revoked_key_is_refused_within_a_second_in_every_process(open_directory: Open, raw_key: str) -> None:
    one, two = await open_directory(), await open_directory()
    assert await one.find(raw_key) == await two.find(raw_key)
    await revoke_the_key()
    reasons = await asyncio.gather(*(until_refused(each, raw_key, REVOKED_WITHIN_S) for each in (one, two)))
    assert reasons == ["revoked", "revoked"]


async def test_a_revoked_key_is_refused_within_a_second_when_the_subscription_is_cut(
    open_directory: Open, raw_key: str, redis_url: str
) -> None:
    async with Proxy(redis_url) as proxy:
        directory = await open_directory(proxy.url)
        await directory.find(raw_key)
        proxy.cut()
        await revoke_the_key()
        assert await until_refused(directory, raw_key, REVOKED_WITHIN_S + 0.2) == "revoked"


async def test_a_revoked_key_is_refused_within_a_second_when_the_subscription_falls_silent(
    open_directory: Open, raw_key: str, redis_url: str
) -> None:
    async with Proxy(redis_url) as proxy:
        directory = await open_directory(proxy.url)
        await directory.find(raw_key)
        proxy.silence()
        await revoke_the_key()
        assert await until_refused(directory, raw_key, REVOKED_WITHIN_S + 0.2) == "revoked"
        assert not directory.hears_changes


async def test_what_was_missed_is_forgotten_when_the_subscription_comes_back(
    open_directory: Open, raw_key: str, redis_url: str, pool: CountingPool
) -> None:
    async with Proxy(redis_url) as proxy:
        directory = await open_directory(proxy.url)
        await directory.find(raw_key)
        proxy.cut()
        proxy.is_open = True
        await until(lambda: len(directory._known) == 0)
        await until(lambda: directory.hears_changes)
        await directory.find(raw_key)
        assert pool.asked == 2


async def test_keys_work_while_redis_is_away(open_directory: Open, raw_key: str) -> None:
    directory = await open_directory("redis://127.0.0.1:1/0", hearing=False)
    assert (await directory.find(raw_key)).requests_per_minute == 600


async def test_an_expired_key_is_refused_without_asking(
    open_directory: Open, pool: CountingPool, raw_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = timezone.now() + timedelta(hours=1)
    await ApiKey.objects.aupdate(expires_at=expires_at)
    directory = await open_directory()
    assert (await directory.find(raw_key)).expires_at == expires_at.timestamp()
    monkeypatch.setattr(caller_module.time, "time", lambda: expires_at.timestamp())
    assert await refused_reason(directory, raw_key) == "expired"
    assert pool.asked == 1


async def test_a_suspended_organization_and_an_archived_project_stop_their_keys(
    open_directory: Open, raw_key: str
) -> None:
    directory = await open_directory()
    await directory.find(raw_key)

    @sync_to_async
    def suspend(suspended_at: object) -> None:
        Organization.objects.update(suspended_at=suspended_at)
        announce_every_key()

    await suspend(timezone.now())
    assert await until_refused(directory, raw_key, REVOKED_WITHIN_S) == "suspended"
    await suspend(None)
    ends = time.monotonic() + REVOKED_WITHIN_S
    while await refused_reason(directory, raw_key) is not None:
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)

    @sync_to_async
    def archive() -> None:
        project = Project.objects.get()
        create_project(project.organization, "Next")
        archive_project(project)

    await archive()
    assert await until_refused(directory, raw_key, REVOKED_WITHIN_S) == "revoked"


async def until_caller(directory: CallerDirectory, raw_key: str, is_so: Callable[[Caller], bool]) -> None:
    ends = time.monotonic() + HEARD_WITHIN_S
    while not is_so(await directory.find(raw_key)):
        assert time.monotonic() < ends, "not heard"
        await asyncio.sleep(0.01)


async def test_a_changed_key_is_heard_at_once_in_every_process(open_directory: Open, raw_key: str) -> None:
    one, two = await open_directory(), await open_directory()
    for directory in (one, two):
        assert (await directory.find(raw_key)).allowed_models == ()

    @sync_to_async
    def change() -> None:
        patterns = ["Anthropic/*", "openai/gpt-4o"]
        change_key(ApiKey.objects.get(), name="phone", requests_per_minute=7, expires_at=None, allowed_models=patterns)

    await change()
    for directory in (one, two):
        await until_caller(directory, raw_key, lambda caller: caller.requests_per_minute == 7)
        assert (await directory.find(raw_key)).allowed_models == ("anthropic/*", "openai/gpt-4o")


async def test_a_strict_project_is_heard_at_once_for_all_its_keys(
    open_directory: Open, pool: CountingPool, raw_key: str
) -> None:
    @sync_to_async
    def make_others() -> tuple[str, str]:
        project = Project.objects.get()
        elsewhere = create_project(project.organization, "Elsewhere")
        return create_key(project, "second")[1], create_key(elsewhere, "other")[1]

    @sync_to_async
    def be_strict(strict: bool) -> None:
        change_project(Project.objects.get(name="Default"), name="Default", strict_translation=strict)

    second, other = await make_others()
    directory = await open_directory()
    for key in (raw_key, second, other):
        assert (await directory.find(key)).strict is False
    for strict in (True, False):
        await be_strict(strict)
        for key in (raw_key, second):
            await until_caller(directory, key, lambda caller, strict=strict: caller.strict is strict)  # type: ignore[misc]
    asked = pool.asked
    assert (await directory.find(other)).strict is False
    assert pool.asked == asked  # a key of another project stays remembered


async def test_an_answer_overtaken_by_a_change_is_not_kept(
    open_directory: Open, pool: CountingPool, raw_key: str
) -> None:
    directory = await open_directory()
    asking = asyncio.create_task(directory.find(raw_key))
    await asyncio.sleep(0)  # it runs up to its question
    await asyncio.sleep(0)
    directory._forget(None)
    await asking
    assert len(directory._known) == 0


async def test_without_the_database_a_known_key_works_and_a_new_one_is_unavailable(
    open_directory: Open, pool: CountingPool, raw_key: str
) -> None:
    directory = await open_directory()
    await directory.find(raw_key)
    await pool.close()
    await directory.find(raw_key)
    with pytest.raises(CallersUnavailable):
        await directory.find(generate())


async def test_last_use_is_written(open_directory: Open, raw_key: str) -> None:
    directory = await open_directory()
    caller = await directory.find(raw_key)
    before = timezone.now()
    directory.mark_used(caller.api_key_id)
    directory.mark_used(caller.api_key_id)
    await directory.stop()
    used_at = (await ApiKey.objects.aget()).last_used_at
    assert used_at is not None
    assert used_at >= before - timedelta(milliseconds=1)


async def test_last_use_never_goes_back(open_directory: Open, raw_key: str) -> None:
    later = timezone.now() + timedelta(minutes=1)
    await ApiKey.objects.aupdate(last_used_at=later)
    directory = await open_directory()
    directory.mark_used((await directory.find(raw_key)).api_key_id)
    await directory._flush()
    assert (await ApiKey.objects.aget()).last_used_at == later


async def test_limits_addresses_and_funding_of_key_project_and_organization_are_known(
    open_directory: Open, raw_key: str
) -> None:
    plain = await (await open_directory()).find(raw_key)
    assert (plain.requests_per_minute, plain.tokens_per_minute, plain.max_concurrent) == (600, None, None)
    assert (plain.allowed_ips, plain.funding, plain.plan_models, plain.budget_scope) == ((), "plan_first", None, "")

    @sync_to_async
    def change() -> None:
        key = ApiKey.objects.select_related("project__organization").get()
        limits = {"requests_per_minute": 11, "tokens_per_minute": 12, "max_concurrent": 13}
        Organization.objects.update(requests_per_minute=31, tokens_per_minute=32, max_concurrent=33)
        change_project(
            key.project,
            name="Default",
            strict_translation=False,
            requests_per_minute=21,
            tokens_per_minute=22,
            max_concurrent=23,
        )
        change_key(
            key,
            name="phone",
            expires_at=None,
            allowed_models=(),
            allowed_ips=["203.0.113.0/24"],
            funding="plan_only",
            **limits,
        )

    directory = await open_directory()
    await directory.find(raw_key)
    await change()
    await until_caller(directory, raw_key, lambda caller: caller.funding == "plan_only")
    caller = await directory.find(raw_key)
    assert (caller.requests_per_minute, caller.tokens_per_minute, caller.max_concurrent) == (11, 12, 13)
    assert caller.project_requests_per_minute == 21
    assert (caller.project_tokens_per_minute, caller.project_max_concurrent) == (22, 23)
    assert caller.organization_requests_per_minute == 31
    assert (caller.organization_tokens_per_minute, caller.organization_max_concurrent) == (32, 33)
    assert allows(caller.allowed_ips, "203.0.113.9") and not allows(caller.allowed_ips, "203.0.114.9")


async def test_plan_epoch_and_budgets_come_with_the_same_question(
    open_directory: Open, pool: CountingPool, raw_key: str
) -> None:
    @sync_to_async
    def subscribe(state: str) -> None:
        now = timezone.now()
        organization = Organization.objects.get()
        plan = Plan.objects.get_or_create(
            slug="pro",
            defaults={
                "name": "Pro",
                "rank": 1,
                "price_nanos": 1,
                "five_hours_nanos": 1,
                "seven_days_nanos": 1,
                "period_nanos": 1,
            },
        )[0]
        Subscription.objects.all().delete()
        Subscription.objects.create(
            organization=organization,
            plan=plan,
            state=state,
            terms={"covered_models": ["openai/*", "anthropic/*"]},
            period_start=now,
            period_end=now + timedelta(days=30),
            overflow=True,
        )
        LedgerAccount.objects.filter(organization=organization, kind="wallet").update(epoch=7)

    @sync_to_async
    def budget(**owner: object) -> None:
        Budget.objects.create(organization=Organization.objects.get(), period="day", limit_nanos=1, **owner)

    async def fresh() -> Caller:
        before = pool.asked
        caller = await (await open_directory(hearing=False)).find(raw_key)
        assert pool.asked == before + 1
        return caller

    assert (await fresh()).epoch == 0
    for state in ("active", "grace"):
        await subscribe(state)
        caller = await fresh()
        assert caller.plan_models == ("openai/*", "anthropic/*")
        assert caller.plan_overflow and caller.epoch == 7
    await subscribe("ended")
    caller = await fresh()
    assert caller.plan_models is None and not caller.plan_overflow
    await budget(project=await Project.objects.aget())
    assert (await fresh()).budget_scope == "project"
    await budget(api_key=await ApiKey.objects.aget())
    assert (await fresh()).budget_scope == "key"


async def test_a_caller_carries_its_projects_routing_and_hears_of_changes(open_directory: Open, raw_key: str) -> None:
    directory = await open_directory()
    assert (await directory.find(raw_key)).routing == ""
    project = await Project.objects.aget()
    await sync_to_async(change_routing)(project, None, {"preset": "cheapest"})
    ends = time.monotonic() + HEARD_WITHIN_S
    while not (text := (await directory.find(raw_key)).routing):
        assert time.monotonic() < ends, "not heard of in time"
        await asyncio.sleep(0.01)
    policy = ProjectPolicy.of_json(text)
    assert (policy.version, policy.preset, policy.weights) == (1, "cheapest", PRESETS["cheapest"])
    other = await sync_to_async(create_key)(project, "second")
    assert (await directory.find(other[1])).routing is text
