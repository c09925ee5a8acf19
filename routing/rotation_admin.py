"""Staff give a provider a new secret: it takes over, the old one stays until a chosen time. No secret is ever shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from routing.models import Credential, Provider
from routing.rotation import rotate

KEPT = {
    "0": gettext_lazy("End it now"),
    "1": gettext_lazy("Keep it for an hour"),
    "24": gettext_lazy("Keep it for a day"),
    "168": gettext_lazy("Keep it for a week"),
}


class RotationForm(forms.Form):
    credential = forms.ModelChoiceField(
        label=gettext_lazy("Credential"), queryset=Credential.objects.none(), widget=UnfoldAdminSelectWidget
    )
    secret = forms.CharField(
        label=gettext_lazy("New secret"),
        max_length=8000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Stored encrypted and never shown again."),
    )
    keep = forms.ChoiceField(
        label=gettext_lazy("The old secret"),
        choices=list(KEPT.items()),
        initial="24",
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("While it is kept it serves only where the new one cannot. Then it is erased."),
    )

    def __init__(self, data: Any = None, *, provider: Provider) -> None:
        super().__init__(data)
        field = self.fields["credential"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = _replaceable(provider)
        field.empty_label = None
        field.initial = field.queryset.first()

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"]).strip()
        if not secret.isprintable() or " " in secret:
            raise forms.ValidationError(_("A secret has no spaces or line breaks."))
        return secret


class RotationPages:
    """Mixed into the admin of providers."""

    actions_detail: ClassVar[list[str]] = ["rotate"]
    admin_site: Any
    opts: Any

    @action(description=gettext_lazy("Replace a credential"), url_path="rotate", permissions=["change"])  # type: ignore[untyped-decorator]
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        provider: Provider | None = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if provider is None:
            raise Http404
        if not _replaceable(provider).exists():
            messages.warning(request, _("There is no credential to replace. Add one below."))
            return _to(provider)
        form = RotationForm(request.POST or None, provider=provider)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            hours = int(data["keep"])
            keep_until = timezone.now() + timedelta(hours=hours) if hours else None
            new = rotate(data["credential"], data["secret"], keep_until=keep_until)
            text = f"credential {data['credential'].name} replaced by {new.name}"
            self.log_change(request, provider, text)  # type: ignore[attr-defined]
            messages.success(request, _("%(name)s is in use now.") % {"name": new.name})
            return _to(provider)
        words = {
            "title": _("Replace a credential of %(name)s") % {"name": provider.name},
            "note": _("The new secret is used within a few seconds, in every process."),
            "button": _("Replace it"),
            "back": reverse("admin:routing_provider_change", args=[provider.pk]),
        }
        context = {**self.admin_site.each_context(request), **words, "opts": self.opts, "form": form}
        return TemplateResponse(request, "routing/admin/form.html", context)


def _replaceable(provider: Provider) -> QuerySet[Credential]:
    return provider.credentials.filter(enabled=True, valid_until=None).order_by("id")


def _to(provider: Provider) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:routing_provider_change", args=[provider.pk]))
