"""How a request ended, in a word and a colour, and in the three parts of an error: what, charged or not, what next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from observability.models import RequestLog

Outcome = RequestLog.Outcome


@dataclass(frozen=True, slots=True)
class Badge:
    kind: str  # ok, warn, bad or accent
    icon: str
    label: str


@dataclass(frozen=True, slots=True)
class Explanation:
    what: str
    next_label: str = ""
    next_url: str = ""


_REFUSALS: Final[dict[int, tuple[str, str, Promise]]] = {
    400: ("bad", "ban", _lazy("bad request")),
    401: ("bad", "ban", _lazy("key refused")),
    402: ("bad", "ban", _lazy("no credit")),
    403: ("bad", "ban", _lazy("not allowed")),
    404: ("bad", "ban", _lazy("unknown model")),
    413: ("bad", "ban", _lazy("too large")),
    429: ("warn", "gauge", _lazy("too many requests")),
}


def was_failover(log: RequestLog) -> bool:
    return log.outcome == Outcome.ANSWERED and log.attempt_count > 1


def badge_of(log: RequestLog) -> Badge:
    """The main badge of a row in the log."""
    if log.outcome == Outcome.ANSWERED:
        return Badge("accent", "route", _("Failover")) if was_failover(log) else Badge("ok", "check", _("Answered"))
    if log.outcome == Outcome.CLIENT_LEFT:
        return Badge("warn", "unplug", _("Client left"))
    if log.outcome == Outcome.REFUSED:
        kind, icon, word = _REFUSALS.get(log.status, ("bad", "ban", _lazy("refused")))
        return Badge(kind, icon, f"{log.status} {word}")
    failed = _("no provider") if not log.attempt_count else _("all failed") if log.attempt_count > 1 else _("failed")
    return Badge("bad", "circle-alert", f"{log.status} {failed}")


def explain(log: RequestLog) -> Explanation | None:
    """One sentence and the next step for a request that was not simply answered."""
    if was_failover(log):
        return Explanation(_("The first choice failed before the first token, so the next provider answered."))
    if log.outcome == Outcome.CLIENT_LEFT:
        return Explanation(_("The client closed the connection before the end. What was generated is charged."))
    if log.outcome == Outcome.FAILED and not log.attempt_count:
        what = _("No provider could take it, so nothing was sent.")
        return Explanation(what, _("See all models"), reverse("models"))
    if log.outcome == Outcome.FAILED:
        return Explanation(
            _("No provider gave a complete answer."), _("See other requests to this model"), _logs_of(log.model)
        )
    if log.outcome == Outcome.REFUSED:
        return _refusal(log)
    return None


def _refusal(log: RequestLog) -> Explanation:
    if log.status == 402:
        return Explanation(_("The wallet had too little credit, so nothing was sent."), _("Top up"), reverse("wallet"))
    if log.status == 404:
        return Explanation(_("No model has this name, so nothing was sent."), _("See all models"), reverse("models"))
    if log.status in (401, 403, 429):
        return Explanation(_("The key's limits refused it, so nothing was sent."), _("See your keys"), reverse("keys"))
    return Explanation(
        _("The request was refused before it was sent to a provider."), _("Read the docs"), reverse("docs")
    )


def _logs_of(model: str) -> str:
    return reverse("logs", query={"model": model}) if model else reverse("logs")
