"""Is this process alive, can it serve, and its metrics: for probes and monitoring."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from observability import metrics, probes


@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all. Looks at nothing else: a lost database is no reason to restart us."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when PostgreSQL and Valkey answer; else 503 naming the part that does not."""
    ready, words = probes.readiness()
    return JsonResponse(words, status=200 if ready else 503)


@never_cache
@require_GET
def metrics_text(request: HttpRequest) -> HttpResponse:
    """Prometheus text. 401 unless the caller has METRICS_TOKEN, or none is set and this is a local evaluation."""
    peer, authorization = request.META.get("REMOTE_ADDR", ""), request.headers.get("Authorization", "")
    if not probes.may_read_metrics(authorization, peer, forwarded="X-Forwarded-For" in request.headers):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(probes.metrics_text(), content_type=metrics.CONTENT_TYPE)
