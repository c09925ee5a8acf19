"""Receipts to keep: a file that anybody can check without us."""

from __future__ import annotations

import json

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import current_organization, projects_of
from billing.receipts.document import request_id_in
from billing.receipts.signing import Signer
from billing.usage_records import receipt_document_of
from observability.models import RequestLog
from observability.records import attempts_in


@login_required
@never_cache
@require_safe
def download(request: HttpRequest, public_id: str) -> HttpResponse:
    """The signed receipt of a request of the reader's own projects, as a file. 404 for any other."""
    request_id = request_id_in(public_id)
    if request_id is None or not settings.RECEIPT_SIGNING_KEY:
        raise Http404
    trace = RequestLog.objects.filter(pk=request_id).values_list("trace", flat=True).first()
    document = receipt_document_of(
        request_id,
        [attempt._asdict() for attempt in attempts_in(trace)],
        organization_id=current_organization(request).pk,
        project_ids=projects_of(request).values_list("pk", flat=True),
    )
    if document is None:
        raise Http404
    signed = Signer(settings.RECEIPT_SIGNING_KEY).sign(document)
    text = json.dumps(signed, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    headers = {"Content-Disposition": f'attachment; filename="receipt-{document["id"]}.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)
