"""Pages and look-ups are answered from indexes and sums, however long the log is.

With MILLION=1 the same is tried with a million requests, and figures and plans are printed (`pytest -s`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from uuid import UUID

from django.test import Client

from billing.receipts.document import public_id
from observability import limit_lookups, lookups
from observability.models import RequestLog
from observability.overview import first_request_at
from tests.observability.conftest import Cast
from tests.observability.many_rows import Plan, bind, fill, plan_of, plans

MILLION = os.environ.get("MILLION") == "1"
ROWS = 1_000_000 if MILLION else 20_000
READ_BY_DAY = ("overview", "usage: 7 days", "usage: 30 days by key", "usage: 90 days")
MOST_MS = 60  # with a million requests, six of ten those of one organization
MOST_BUFFERS = 8_000  # pages of 8 KiB, for what is no sum over many hours


def addresses(row: RequestLog, cursor: UUID) -> dict[str, str]:
    request_id, key = row.pk, row.api_key_id
    log = {
        "newest": "",
        "any time": "span=all",
        "model": "span=all&model=m/model-3",
        "rare model": "span=all&model=rare/model",
        "unknown model": "span=all&model=no/model",
        "search": "span=all&q=rare",
        "provider": "span=all&provider=provider-2",
        "rare provider": "span=all&provider=rare",
        "answered by a rare model": "span=all&model=rare/model&result=answered",
        "key": f"span=all&key={key}",
        "key and model": f"span=all&key={key}&model=rare/model",
        "project": f"span=all&project={row.project_id}",
        "failed": "span=all&result=failed",
        "refused": "span=all&result=refused",
        "failover": "span=all&result=failover",
        "failed, by model": "span=all&result=failed&model=m/model-3",
        "status": "span=all&status=429",
        "a rare status": "span=all&status=504",
        "deep": f"span=all&before={cursor}",
        "deep, by model": f"span=all&model=rare/model&before={cursor}",
        "newer": f"span=all&after={cursor}",
        "newer, by model": f"span=all&model=rare/model&after={cursor}",
        "one request": f"q={request_id}",
    }
    found = {f"log: {name}": f"/logs?{query}" for name, query in log.items()}
    return found | {
        "request": f"/logs/{request_id}",
        "receipt": f"/receipts/{public_id(request_id)}.json",
        "overview": "/overview?range=30d",
        "usage: 7 days": "/usage?range=7d",
        "usage: 30 days by key": "/usage?by=key",
        "usage: 90 days": "/usage?range=90d",
        "usage: today by provider": "/usage?range=today&by=provider",
    }


def asked_by_page(page: Client, address: str) -> list[Plan]:
    with plans() as found:
        assert page.get(address).status_code == 200, address
    return found


def asked_by_look_up(row: RequestLog) -> dict[str, list[Plan]]:
    request_id, organization = row.pk, row.organization_id
    owned = {"id": request_id, "organization_id": organization}
    return {
        "/v1/generation": [
            plan_of(bind(lookups._LOG, (request_id, organization))),
            plan_of(bind(lookups._RECORDS, owned)),
            plan_of(bind(lookups._LOGGED, (request_id,))),
        ],
        "/v1/key": [
            plan_of(bind(lookups._KEY, (row.api_key_id,))),
            plan_of(bind(limit_lookups.BUDGETS, (row.api_key_id,))),
            plan_of(bind(limit_lookups.PLAN, (organization,))),
            plan_of(bind(limit_lookups.PLAN_WINDOWS, (organization,))),
        ],
    }


def test_nothing_that_is_asked_reads_a_large_table_from_end_to_end(alice: Cast, report: Callable[[str], None]) -> None:
    fill(alice, ROWS)
    middle = RequestLog.objects.filter(organization_id=alice.organization.pk).order_by("id")[ROWS // 3].pk
    row = RequestLog.objects.filter(organization_id=alice.organization.pk, outcome="answered").latest("id")
    page = alice.page()
    asked = {name: asked_by_page(page, address) for name, address in addresses(row, middle).items()}
    asked |= asked_by_look_up(row)
    with plans() as asked["first request"]:
        first_request_at(alice.organization.pk)
    for name, found in asked.items():
        if name in READ_BY_DAY:
            began = time.perf_counter()
            page.get(addresses(row, middle)[name])
            report(f"{name}: {(time.perf_counter() - began) * 1000:.0f} ms for the whole page")
        took, buffers = sum(plan.milliseconds for plan in found), sum(plan.buffers for plan in found)
        report(f"{name}: {took:.1f} ms, {buffers} buffers, {len(found)} queries")
        for plan in found:
            report(f"  {plan.sql[:3000]}\n{plan.text}\n") if MILLION else None
        assert took < MOST_MS or not MILLION or name not in READ_BY_DAY, (name, took)
    scanned = {name: [plan.scans for plan in found if plan.scans] for name, found in asked.items()}
    assert {name: tables for name, tables in scanned.items() if tables} == {}
    no_sums = {name: found for name, found in asked.items() if name not in ("usage: today by provider", "/v1/key")}
    many = {name: sum(plan.buffers for plan in found) for name, found in no_sums.items()}
    assert {name: buffers for name, buffers in many.items() if buffers > MOST_BUFFERS} == {}


def test_a_scan_would_be_seen(alice: Cast) -> None:
    fill(alice, 2_000)
    assert plan_of("SELECT count(*) FROM observability_requestlog WHERE duration_ms = 1").scans
