"""The marketplace: the list of models and the page of one. Public."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from routing.market import CAPABILITIES, Listing, listings
from routing.models import Model, ModelAlias
from routing.selection import MODALITIES, SORTS, Selection


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    """The table; htmx gets the table alone."""
    selection = Selection.of(request.GET.dict())
    known = listings(timezone.now())
    shown = selection.apply(known)
    context = {
        "nav": "models",
        "selection": selection,
        "listings": shown,
        "total": len(known),
        "available_total": sum(listing.available for listing in known),
        "provider_total": len({offer.provider_slug for listing in known for offer in listing.offers}),
        "authors": sorted({listing.model.author for listing in known}),
        "capabilities": CAPABILITIES,
        "modalities": MODALITIES,
        "sorts": SORTS,
        "quality_as_of": _quality_as_of(known),
    }
    fragment = bool(getattr(request, "htmx", False)) and not getattr(request.htmx, "boosted", False)  # type: ignore[attr-defined]
    response = render(request, "routing/_model_table.html" if fragment else "routing/model_list.html", context)
    response.headers["Vary"] = _vary(response, "HX-Request")
    return response


def _vary(response: HttpResponse, name: str) -> str:
    known = response.headers.get("Vary", "")
    return f"{known}, {name}" if known else name


def _quality_as_of(known: list[Listing]) -> str:
    return max((str(listing.model.quality.get("as_of") or "") for listing in known), default="")


@require_safe
def model_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """The page of a public id; another name of a model redirects to it, a withdrawn name tells its successor."""
    found = listings(timezone.now(), Model.objects.filter(slug=slug), standard_only=False)
    if found:
        return render(request, "routing/model_detail.html", _detail(found[0]))
    alias = ModelAlias.objects.select_related("model").filter(name__iexact=slug).first()
    if alias is not None and alias.model is not None and alias.model.enabled:
        return redirect("model", slug=alias.model.slug)
    if slug != slug.lower() and Model.objects.filter(slug=slug.lower(), enabled=True).exists():
        return redirect("model", slug=slug.lower())
    context = {"nav": "models", "name": slug, "successor": alias.successor if alias else "", "alias": alias}
    return render(request, "routing/model_missing.html", context, status=404)


def _detail(listing: Listing) -> dict[str, Any]:
    best = listing.best
    price = best.price if best else None
    saving = 0
    if price and price.cache_read is not None and price.input > price.cache_read:
        saving = round((1 - price.cache_read / price.input) * 100)
    return {
        "nav": "models",
        "listing": listing,
        "model": listing.model,
        "price": price,
        "cache_saving_percent": saving,
        "units_per_usd": best.units_per_usd if best and best.currency != "USD" else None,
        "has_conditions": any(offer.conditions for offer in listing.offers if not offer.retired),
        "snippets": _snippets(listing.model),
    }


def _snippets(model: Model) -> list[tuple[str, str]]:
    """Name and text of each example; the key stays a variable that the reader sets."""
    embeds = "embedding" in model.output_modalities
    name, value = ("input", "Hello") if embeds else ("messages", [{"role": "user", "content": "Hello"}])
    path, call, shown = (
        ("embeddings", "embeddings", "answer.data[0].embedding")
        if embeds
        else ("chat/completions", "chat.completions", "answer.choices[0].message.content")
    )
    body = json.dumps({"model": model.slug, name: value}, ensure_ascii=False)
    url = settings.PUBLIC_URL
    return [
        (
            "curl",
            f"curl {url}/v1/{path} \\\n"
            '  -H "Authorization: Bearer $ROUTER_ONE_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  -d '{body}'",
        ),
        (
            "Python",
            "import os\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{url}/v1", api_key=os.environ["ROUTER_ONE_KEY"])\n'
            f"answer = client.{call}.create(\n"
            f'    model="{model.slug}",\n'
            f"    {name}={json.dumps(value)},\n"
            f")\nprint({shown})",
        ),
    ]
