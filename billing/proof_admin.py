"""The last proofs of the ledger for staff, and a button for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from billing import proof
from billing.models.usage import ProofRun

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin  # unfold's has no types

    _Admin = ModelAdmin[ProofRun]
else:
    from unfold.admin import ModelAdmin as _Admin


@admin.register(ProofRun)
class ProofRunAdmin(_Admin):
    list_display = ("started_at", "result", "seconds", "usage_records", "charged")
    ordering = ("-started_at",)
    readonly_fields = ("started_at", "finished_at", "result", "what_is_wrong", "figures")
    fields = readonly_fields
    actions_list: ClassVar[list[str]] = ["prove"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description=gettext_lazy("result"), label={"ok": "success", "wrong": "danger"})  # type: ignore[untyped-decorator]
    def result(self, run: ProofRun) -> tuple[str, str]:
        if run.problems:
            return "wrong", _("%(count)d problems") % {"count": len(run.problems)}
        return "ok", _("The books agree")

    @admin.display(description=gettext_lazy("problems"))
    def what_is_wrong(self, run: ProofRun) -> str:
        return format_html_join("\n", "<p>{}</p>", ((problem,) for problem in run.problems)) or "–"

    @admin.display(description=gettext_lazy("seconds"))
    def seconds(self, run: ProofRun) -> str:
        return f"{(run.finished_at - run.started_at).total_seconds():.1f}"

    @admin.display(description=gettext_lazy("usage records"))
    def usage_records(self, run: ProofRun) -> str:
        return f"{run.figures.get('usage_records', 0):,}"

    @admin.display(description=gettext_lazy("charged"))
    def charged(self, run: ProofRun) -> str:
        return f"${run.figures.get('charged_nanos', 0) / 1e9:,.2f}"

    @action(description=gettext_lazy("Prove now"))  # type: ignore[untyped-decorator]
    def prove(self, request: HttpRequest) -> HttpResponse:
        run = proof.run()
        if run.problems:
            messages.error(request, _("The proof found problems."))
        else:
            messages.success(request, _("The books agree"))
        return HttpResponseRedirect(reverse("admin:billing_proofrun_change", args=[run.pk]))
