"""The staff page of what may be wrong with prices."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from routing.price_warnings import price_warnings

WORDS = {
    "below_cost": gettext_lazy("Sold below the list price, which is what we pay"),
    "no_rate": gettext_lazy("No exchange rate: its prices cannot be used"),
    "old_rate": gettext_lazy("The exchange rate is older than a week"),
    "no_price": gettext_lazy("In use, but no price is in force"),
    "ends_soon": gettext_lazy("The price ends soon and nothing follows"),
    "doubted": gettext_lazy("Public price lists disagree about it"),
    "old": gettext_lazy("Not confirmed for two months"),
    "drift": gettext_lazy("Differs from the bundled catalogue"),
}


class WarningPages:
    """Mixed into the admin of price cards."""

    actions_list: ClassVar[list[str]] = ["warnings"]
    admin_site: Any
    opts: Any

    @action(description=gettext_lazy("Price warnings"), url_path="warnings", permissions=["view"])  # type: ignore[untyped-decorator]
    def warnings(self, request: HttpRequest) -> HttpResponse:
        found = price_warnings()
        groups = [(WORDS[what], [one for one in found if one.what == what]) for what in WORDS]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Price warnings"),
            "opts": self.opts,
            "groups": [(words, rows) for words, rows in groups if rows],
        }
        return TemplateResponse(request, "routing/admin/warnings.html", context)
