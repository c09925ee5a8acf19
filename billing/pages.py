"""The wallet page: what is there, what is reserved of it, and where it went."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_safe

from accounts.access import current_organization
from billing import ledger, statement
from billing.receipts.signing import Signer, key_list
from billing.top_up_amounts import smallest_covering

KINDS = {
    "grant": _("Granted credit"),
    "usage": _("Usage"),
    "topup": _("Top-up"),
    "adjustment": _("Adjustment"),
    "refund": _("Refund"),
    "plan": _("Plan"),
    "expiry": _("Expired credit"),
    "chargeback": _("Chargeback"),
}


@require_GET
@login_required
def wallet(request: HttpRequest) -> HttpResponse:
    """The balance and a page of the statement; `before` and `after` are entry ids.

    Who was sent here for want of credit brings `need`: what the wallet lacks, in nano-USD.
    """
    organization = current_organization(request)
    page = statement.page(organization.pk, before=_number(request, "before"), after=_number(request, "after"))
    need_nanos = _number(request, "need")
    context = {
        "nav": "wallet",
        "balance": ledger.balance(organization.pk),
        "granted_nanos": statement.granted_nanos(organization.pk),
        "page": page,
        "need_nanos": need_nanos,
        "top_up_nanos": smallest_covering(need_nanos) if need_nanos else None,
        "lines": [(line, KINDS.get(line.kind, line.kind)) for line in page.lines],
    }
    return render(request, "billing/wallet.html", context)


@require_safe
@cache_control(public=True, max_age=300)
def receipt_keys(request: HttpRequest) -> JsonResponse:
    """The public keys of receipts, for everybody."""
    private = settings.RECEIPT_SIGNING_KEY
    current = Signer(private).public_key if private else None
    return JsonResponse(key_list(current, settings.RECEIPT_OLD_PUBLIC_KEYS), json_dumps_params={"indent": 1})


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    # A bigint has 19 digits; what is no number at all is read as if it were not there.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
