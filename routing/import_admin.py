"""The staff pages of catalogue uploads: offer one, look at what it would change, take over what is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from routing import uploads
from routing.loading.entries import CatalogueInvalid
from routing.loading.review import Item
from routing.loading.taking_over import Incomplete
from routing.models import CatalogueUpload

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin  # unfold's has no types

    _Admin = ModelAdmin[CatalogueUpload]
else:
    from unfold.admin import ModelAdmin as _Admin

LARGEST_BYTES = 8 * 1024 * 1024
GROUPS = {
    "price": gettext_lazy("Changed prices"),
    "new": gettext_lazy("New"),
    "changed": gettext_lazy("Changed facts"),
    "gone": gettext_lazy("Gone from the files"),
}


class UploadForm(forms.Form):
    source = forms.CharField(
        label=gettext_lazy("Source"),
        max_length=120,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Where the files come from, for those who look at it later."),
    )
    providers = forms.FileField(label="providers.json")
    models = forms.FileField(label="models.json")
    legacy_names = forms.FileField(label="legacy_names.json", required=False)

    def clean_providers(self) -> Any:
        return _json_of(self.cleaned_data["providers"])

    def clean_models(self) -> Any:
        return _json_of(self.cleaned_data["models"])

    def clean_legacy_names(self) -> Any:
        found = self.cleaned_data["legacy_names"]
        return None if found is None else _json_of(found)

    @property
    def named_files(self) -> dict[str, Any]:
        named = {f"{name}.json": self.cleaned_data[name] for name in ("providers", "models", "legacy_names")}
        return {name: value for name, value in named.items() if value is not None}


def _json_of(file: UploadedFile) -> Any:
    if (file.size or 0) > LARGEST_BYTES:
        raise forms.ValidationError(_("The file is larger than %(most)s MB.") % {"most": LARGEST_BYTES // 2**20})
    try:
        return json.loads(file.read().decode("utf-8"))
    except ValueError:  # no UTF-8, or no JSON
        raise forms.ValidationError(_("This is no JSON file.")) from None


class TakeOverForm(forms.Form):
    prices_from = forms.DateTimeField(required=False)

    def clean_prices_from(self) -> Any:
        moment = self.cleaned_data["prices_from"]
        if moment is not None and moment < timezone.now():
            raise forms.ValidationError(_("Prices cannot change in the past. Leave this empty for now."))
        return moment


@admin.register(CatalogueUpload)
class CatalogueUploadAdmin(_Admin):
    list_display = ("source", "created_at", "created_by", "taken_over", "applied_at", "applied_by")
    list_select_related = ("created_by", "applied_by")
    actions_list: ClassVar[list[str]] = ["bundled"]

    def has_delete_permission(self, request: HttpRequest, obj: CatalogueUpload | None = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("taken over"))
    def taken_over(self, upload: CatalogueUpload) -> int:
        return len(upload.applied)

    @action(description=gettext_lazy("Look at the bundled catalogue"), url_path="bundled", permissions=["add"])  # type: ignore[untyped-decorator]
    def bundled(self, request: HttpRequest) -> HttpResponse:
        return _to(uploads.keep_bundled(request.user))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            return HttpResponse(status=403)
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                return _to(uploads.keep(form.cleaned_data["source"], form.named_files, request.user))
            except CatalogueInvalid as invalid:
                for problem in invalid.problems[:50]:
                    form.add_error(None, problem)
        words = {
            "title": _("Offer a catalogue"),
            "note": _("Nothing changes yet: the next page shows what is different, and you choose."),
            "button": _("Compare"),
            "back": reverse("admin:routing_catalogueupload_changelist"),
        }
        context = {**self.admin_site.each_context(request), **words, "opts": self.opts, "form": form}
        return TemplateResponse(request, "routing/admin/form.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        upload = self.get_object(request, object_id)
        if upload is None or not self.has_view_permission(request, upload):
            return HttpResponse(status=404)
        form = TakeOverForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and self.has_change_permission(request, upload) and form.is_valid():
            answer = self._take_over(request, upload, form)
            if answer is not None:
                return answer
        try:
            items, problems = uploads.differences(upload), []
        except CatalogueInvalid as invalid:
            items, problems = [], invalid.problems
        context = {
            **self.admin_site.each_context(request),
            "title": _("What %(source)s would change") % {"source": upload.source},
            "opts": self.opts,
            "upload": upload,
            "form": form,
            "problems": problems,
            "groups": [(kind, label, _of(items, kind)) for kind, label in GROUPS.items() if _of(items, kind)],
            "chosen": set(request.POST.getlist("key")),
            "may_change": self.has_change_permission(request, upload),
        }
        return TemplateResponse(request, "routing/admin/review.html", context)

    def _take_over(self, request: HttpRequest, upload: CatalogueUpload, form: TakeOverForm) -> HttpResponse | None:
        chosen = request.POST.getlist("key")
        if not chosen:
            messages.error(request, _("Choose something to take over."))
            return None
        try:
            applied = uploads.apply(upload, chosen, prices_from=form.cleaned_data["prices_from"], by=request.user)
        except Incomplete as incomplete:
            text = _("%(label)s needs %(missing)s: choose that too.")
            messages.error(request, text % {"label": incomplete.item.label, "missing": incomplete.missing})
            return None
        except CatalogueInvalid as invalid:
            messages.error(request, "; ".join(invalid.problems[:5]))
            return None
        self.log_change(request, upload, f"taken over: {', '.join(applied)}"[:2000])
        messages.success(request, _("Taken over: %(count)d.") % {"count": len(applied)})
        return _to(upload)


def _of(items: list[Item], kind: str) -> list[Item]:
    """Large price changes first: they are looked at the longest."""
    return sorted((item for item in items if item.kind == kind), key=lambda item: -item.largest_percent)


def _to(upload: CatalogueUpload) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:routing_catalogueupload_change", args=[upload.pk]))
