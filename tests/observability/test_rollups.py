"""Days that are added up: exact at any moment, safe to repeat, and late requests are counted."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Project
from observability import rollups
from observability.day_sums import Wanted, dearest, sums_by_day
from observability.days import LOCK, bounds_of, slot_of
from observability.hour_sums import Dimension, sums_by_hour
from observability.models import UsageDay, UsageDaySum
from observability.recorder import store
from observability.rollups import add_up, add_up_days
from observability.tasks import add_up_usage
from tests.observability.conftest import Cast, Save, _cast, request_record

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(22)]
BY: tuple[Dimension, ...] = ("model", "api_key_id", "project_id", "provider")


def wanted(cast: Cast, zone: ZoneInfo = SHANGHAI, *project_ids: int) -> Wanted:
    return Wanted(cast.organization.pk, project_ids or [cast.project.pk], DAYS, zone)


def found(cast: Cast, *project_ids: int) -> dict[Dimension, list[tuple[object, ...]]]:
    """All sums of each dimension, by day."""
    asked = wanted(cast, SHANGHAI, *project_ids)
    return {by: [(row.at, row.name, row.sums) for row in sums_by_day(asked, by=by)] for by in BY}


def from_hours(cast: Cast, by: Dimension, zone: ZoneInfo, *project_ids: int) -> dict[tuple[date, object], list[int]]:
    """The same, read without any day."""
    start, end = bounds_of(DAYS[0], zone)[0], bounds_of(DAYS[-1], zone)[1]
    sums: dict[tuple[date, object], list[int]] = {}
    for row in sums_by_hour(cast.organization.pk, project_ids or [cast.project.pk], start, end, by=by):
        assert isinstance(row.at, datetime)
        day = sums.setdefault((row.at.astimezone(zone).date(), row.name), [0] * 9)
        day[:] = map(sum, zip(day, row.sums, strict=True))
    return sums


def requests_of(cast: Cast) -> int:
    return sum(row.sums[0] for row in sums_by_day(wanted(cast), by="model"))


MOMENTS = st.integers(0, 21 * 24 * 60).map(
    lambda minutes: datetime(2026, 11, 1, 3, tzinfo=UTC) + timedelta(minutes=minutes)
)
ZONES = ("Asia/Shanghai", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "UTC", "Pacific/Apia")


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES),
    early=st.lists(st.tuples(MOMENTS, st.sampled_from("abc")), max_size=8),
    late=st.lists(st.tuples(MOMENTS, st.sampled_from("abc")), max_size=8),
    again=st.booleans(),
)
def test_days_are_what_their_hours_are(
    alice: Cast, zone: str, early: list[tuple[datetime, str]], late: list[tuple[datetime, str]], again: bool
) -> None:
    with transaction.atomic():
        alice.organization.timezone = zone
        alice.organization.save()
        for events in (early, late):
            records = [request_record(alice, created_at=at, model=f"m/{name}", provider=name) for at, name in events]
            with connection.cursor() as cur:
                store(cur, records)
            if events is early or again:
                add_up_days(NOW)
        for by in BY:
            days = {(row.at, row.name): list(row.sums) for row in sums_by_day(wanted(alice, ZoneInfo(zone)), by=by)}
            assert days == from_hours(alice, by, ZoneInfo(zone))
        transaction.set_rollback(True)


def test_adding_up_changes_no_figure(alice: Cast, bob: Cast, save: Save) -> None:
    second = Project.objects.create(organization=alice.organization, name="second")
    for number in range(40):
        at = NOW - timedelta(hours=7 * number)
        save(alice, created_at=at, model=f"m/{number % 3}", provider=f"p{number % 2}", charge_nanos=number)
        save(alice, created_at=at, project_id=second.pk, outcome="failed", first_token_ms=None)
        save(bob, created_at=at)
    ids = (alice.project.pk, second.pk)
    before, of_one = found(alice, *ids), found(alice)
    top = dearest(wanted(alice, SHANGHAI, *ids), by="model", limit=2)
    assert add_up_days(NOW) == 2 * 11  # the twelfth is not over for long enough
    assert (found(alice, *ids), found(alice)) == (before, of_one)
    assert dearest(wanted(alice, SHANGHAI, *ids), by="model", limit=2) == top
    assert add_up_days(NOW) == 0
    assert found(alice, *ids) == before


def test_a_page_reads_days_that_are_added_up_from_their_sums_alone(alice: Cast, save: Save) -> None:
    save(alice, created_at=NOW - timedelta(days=3))
    add_up_days(NOW)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE observability_usagehour SET requests = 1000")
    assert requests_of(alice) == 1


def test_a_day_is_added_up_only_when_it_is_over_for_hours(alice: Cast, save: Save) -> None:
    _start, end = bounds_of(date(2026, 11, 20), SHANGHAI)
    save(alice, created_at=end - timedelta(hours=3))
    assert add_up_days(end + timedelta(hours=3, minutes=59)) == 0
    assert add_up_days(end + timedelta(hours=4)) == 1


def test_a_late_request_is_counted_at_once_and_after_the_next_run(alice: Cast, save: Save) -> None:
    save(alice, created_at=NOW - timedelta(days=3))
    save(alice, created_at=NOW - timedelta(days=2))
    add_up_days(NOW)
    save(alice, created_at=NOW - timedelta(days=3))
    assert UsageDay.objects.filter(stale=True).count() == 1
    assert requests_of(alice) == 3
    assert add_up_days(NOW) == 1
    assert not UsageDay.objects.filter(stale=True).exists()
    assert requests_of(alice) == 3


def test_a_request_that_comes_twice_marks_no_day(alice: Cast, save: Save) -> None:
    record = save(alice, created_at=NOW - timedelta(days=3))
    add_up_days(NOW)
    with transaction.atomic(), connection.cursor() as cur:
        store(cur, [record])
    assert not UsageDay.objects.filter(stale=True).exists()


def test_a_late_request_on_a_day_without_any_marks_it_too(alice: Cast, save: Save) -> None:
    save(alice, created_at=NOW - timedelta(days=9))
    save(alice, created_at=NOW - timedelta(days=2))
    add_up_days(NOW)
    save(alice, created_at=NOW - timedelta(days=5))
    assert add_up_days(NOW) == 1
    assert requests_of(alice) == 3


def test_a_request_of_before_the_first_day_makes_days_for_itself(alice: Cast, save: Save) -> None:
    save(alice, created_at=NOW - timedelta(days=2))
    add_up_days(NOW)
    save(alice, created_at=NOW - timedelta(days=5))
    assert requests_of(alice) == 2
    assert add_up_days(NOW) == 3
    assert UsageDaySum.objects.filter(dimension="model").count() == 2
    assert (requests_of(alice), add_up_days(NOW)) == (2, 0)


def test_each_zone_that_somebody_reads_in_has_days_of_its_own(alice: Cast, save: Save) -> None:
    alice.organization.timezone = "America/New_York"
    alice.organization.save()
    save(alice, created_at=datetime(2026, 11, 10, 2, 30, tzinfo=UTC))
    assert add_up_days(NOW) == 2
    days = {
        str(zone): [row.at for row in sums_by_day(wanted(alice, zone), by="model")]
        for zone in (SHANGHAI, ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin"))
    }
    assert days == {
        "Asia/Shanghai": [date(2026, 11, 10)],
        "America/New_York": [date(2026, 11, 9)],
        "Europe/Berlin": [date(2026, 11, 10)],
    }


def test_an_unknown_zone_stops_nothing(alice: Cast, bob: Cast, save: Save) -> None:
    alice.organization.timezone = "Mars/Olympus"
    alice.organization.save()
    alice.user.delete()
    save(alice, created_at=NOW - timedelta(days=3))
    save(bob, created_at=NOW - timedelta(days=3))
    assert add_up_days(NOW) == 1


def test_after_a_failure_no_later_day_is_added_up_before_it(
    alice: Cast, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(alice, created_at=NOW - timedelta(days=4))
    save(alice, created_at=NOW - timedelta(days=2))

    def breaks(*given: object) -> None:
        raise psycopg.errors.LockNotAvailable from None

    with monkeypatch.context() as patch:
        patch.setattr(rollups, "DatabaseError", psycopg.Error)
        patch.setattr(rollups, "add_up", breaks)
        assert add_up_days(NOW) == 0
    assert not UsageDay.objects.exists()
    assert add_up_days(NOW) == 3


def test_a_day_may_be_added_up_again_and_again(alice: Cast, save: Save) -> None:
    save(alice, created_at=NOW - timedelta(days=3))
    for _ in range(3):
        add_up(alice.organization.pk, "Asia/Shanghai", (NOW - timedelta(days=3)).date())
    assert UsageDay.objects.count() == 1
    assert UsageDaySum.objects.count() == len(BY)
    assert requests_of(alice) == 1


@pytest.mark.django_db(transaction=True)
def test_adding_up_waits_for_a_writer_and_sees_what_it_wrote(transactional_db: None) -> None:
    alice = _cast("alice")
    at = NOW - timedelta(days=3)
    conninfo = settings.DATABASE_CONNINFO()
    done = threading.Event()

    def run() -> None:
        try:
            add_up(alice.organization.pk, "Asia/Shanghai", at.astimezone(SHANGHAI).date())
            done.set()
        finally:
            connection.close()

    with psycopg.connect(conninfo) as own:
        with own.transaction(), own.cursor() as cur:
            store(cur, [request_record(alice, created_at=at)])
            thread = threading.Thread(target=run)
            thread.start()
            assert not done.wait(0.3)
        thread.join()
    assert done.is_set()
    assert UsageDaySum.objects.filter(dimension="model").get().requests == 1
    assert requests_of(alice) == 1


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_had_to_wait_marks_the_day(transactional_db: None) -> None:
    alice = _cast("alice")
    at = NOW - timedelta(days=3)
    conninfo = settings.DATABASE_CONNINFO()

    def write() -> None:
        with psycopg.connect(conninfo) as own, own.cursor() as cur:
            store(cur, [request_record(alice, created_at=at)])

    thread = threading.Thread(target=write)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, slot_of(alice.organization.pk)])
        thread.start()
        time.sleep(0.3)
        add_up(alice.organization.pk, "Asia/Shanghai", at.astimezone(SHANGHAI).date())
    thread.join()
    assert UsageDay.objects.get().stale
    assert requests_of(alice) == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_where_writers_and_adding_up_meet(transactional_db: None) -> None:
    alice = _cast("alice")
    conninfo = settings.DATABASE_CONNINFO()
    writing, errors = threading.Event(), list[Exception]()

    def write(shift: int) -> None:
        try:
            with psycopg.connect(conninfo) as own:
                for number in range(40):
                    at = NOW - timedelta(days=1 + (number + shift) % 5)
                    with own.transaction(), own.cursor() as cur:
                        store(cur, [request_record(alice, created_at=at), request_record(alice, created_at=NOW)])
        except psycopg.Error as error:
            errors.append(error)

    def add() -> None:
        try:
            while not writing.is_set():
                add_up_days(NOW)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(shift,)) for shift in range(3)]
    adders = [threading.Thread(target=add) for _ in range(2)]
    for thread in (*writers, *adders):
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in adders:
        thread.join()
    assert errors == []
    assert requests_of(alice) == 240
    add_up_days(NOW)
    assert requests_of(alice) == 240
    assert UsageDaySum.objects.filter(dimension="model").count() == 5


def test_the_job_adds_up(alice: Cast, save: Save) -> None:
    save(alice, created_at=datetime.now(UTC) - timedelta(days=3))
    add_up_usage()
    add_up_usage()
    assert UsageDaySum.objects.filter(dimension="model").get().requests == 1
