"""One sentence that says why this provider: from the attempts and the stored decision alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from observability.decision import Decision
from observability.records import AttemptRecord

ERRORS: Final = {
    "rate_limited": gettext_lazy("too many requests"),
    "overloaded": gettext_lazy("overloaded"),
    "credit": gettext_lazy("our credit there had run out"),
    "credential": gettext_lazy("our credential was refused"),
    "connect_failed": gettext_lazy("no connection"),
    "connect_timeout": gettext_lazy("no connection in time"),
    "first_byte_timeout": gettext_lazy("no answer in time"),
    "deadline": gettext_lazy("no time was left"),
    "stalled": gettext_lazy("the answer stood still"),
    "cut": gettext_lazy("the connection broke"),
    "malformed": gettext_lazy("an answer that could not be read"),
    "empty": gettext_lazy("an empty answer"),
    "bad_request": gettext_lazy("the request was not accepted"),
    "context_length": gettext_lazy("the prompt was too long for it"),
    "content_policy": gettext_lazy("refused by its content rules"),
    "not_found": gettext_lazy("it does not know the model"),
    "upstream": gettext_lazy("an error of the provider"),
    "upstream_error": gettext_lazy("an error of the provider"),
    "server_error": gettext_lazy("an error of the provider"),
    "first_token_timeout": gettext_lazy("no first token in time"),
    "client_left": gettext_lazy("the client left"),
    "superseded": gettext_lazy("another was faster"),
    "hedged": gettext_lazy("another was faster"),
}
_SET_BY: Final = {
    "request": gettext_lazy("The request itself named these weights."),
    "rule": gettext_lazy("A rule of the project named these weights."),
    "alias": gettext_lazy("The name that was asked for stands for these weights."),
    "project": gettext_lazy("The weights are the project's."),
    "default": gettext_lazy("The weights are the usual ones: the project has none of its own."),
}
_SORTS: Final = {
    "price": gettext_lazy("the request asked for the lowest price"),
    "latency": gettext_lazy("the request asked for the shortest time"),
    "throughput": gettext_lazy("the request asked for the highest speed"),
}


def error_words(error_class: str) -> str:
    return str(ERRORS.get(error_class, error_class.replace("_", " ")))


def weights_were(decision: Decision) -> str:
    """Whose the weights were, as a sentence; empty where the trace does not say or weights had no say."""
    if decision.ordered or decision.sort:
        return ""
    return str(_SET_BY.get(decision.set_by, ""))


def failed(attempt: AttemptRecord) -> bool:
    return bool(attempt.error_class or attempt.error_code)


def why(attempts: Sequence[AttemptRecord], decision: Decision) -> str:
    """The sentence; empty where nobody was tried."""
    if not attempts:
        return ""
    first = attempts[0]
    sentence = _first(first, decision)
    lost = [one for one in attempts if failed(one)]
    answered = [one for one in attempts if not failed(one)]
    if not lost:
        return _("%(why)s.") % {"why": sentence}
    if not answered:
        return _("%(why)s; %(failures)s, and nobody was left to answer.") % {
            "why": sentence,
            "failures": _failures(lost),
        }
    words = {"why": sentence, "failures": _failures(lost), "provider": answered[-1].provider}
    if answered[-1].reason == "continue":
        return _("%(why)s; after %(failures)s, %(provider)s went on with the answer.") % words
    return _("%(why)s; after %(failures)s, %(provider)s answered.") % words


def _failures(lost: Sequence[AttemptRecord]) -> str:
    return _(", ").join(_failure(one) for one in lost)


def _failure(one: AttemptRecord) -> str:
    words = {"provider": one.provider, "status": one.status, "error": error_words(one.error_class or one.error_code)}
    if one.status is not None and one.status >= 400:
        return _("%(provider)s answered %(status)s (%(error)s)") % words
    return _("%(provider)s failed (%(error)s)") % words


def _first(first: AttemptRecord, decision: Decision) -> str:
    number = len(decision.candidates)
    words = {"provider": first.provider, "number": number}
    match first.reason:
        case "score" if decision.weights is not None and number:
            return _by_score(first, decision)
        case "only":
            return _only(first, decision)
        case "priority":
            return _("%(provider)s was asked first, for staff gave it priority") % words
        case "cheapest":
            return _("%(provider)s was the cheapest that could answer") % words
        case "wish":
            wish = _SORTS.get(decision.sort) or _("the request named the order of providers")
            return _("%(provider)s was asked first, for %(wish)s") % (words | {"wish": wish})
        case "affinity":
            return _("%(provider)s was asked again, for it may still hold this prompt's beginning in its cache") % words
        case "explored":
            return _("%(provider)s was tried to learn how fast it is now, as happens to a few requests") % words
        case "next":
            return _("%(provider)s was next in line, for those before it could not be asked just then") % words
        case "probe":
            return _("%(provider)s was asked to see whether it works again") % words
    return _("%(provider)s was asked first") % words


def _by_score(first: AttemptRecord, decision: Decision) -> str:
    assert decision.weights is not None
    number = len(decision.candidates)
    mine = next((one for one in decision.candidates if one.id == first.deployment_id), decision.candidates[0])
    latency, cost, quality = (f"{share * 100:.0f}" for share in decision.weights)
    words = {
        "provider": first.provider,
        "number": number,
        "loss": f"{mine.loss:.2f}",
        "latency": latency,
        "cost": cost,
        "quality": quality,
    }
    if any(one.loss < mine.loss for one in decision.candidates):
        return (
            _(
                "%(provider)s was chosen of %(number)s: its loss was the lowest (%(loss)s) of those without many"
                " errors, with the weights speed %(latency)s%%, cost %(cost)s%%, quality %(quality)s%%"
            )
            % words
        )
    return (
        _(
            "%(provider)s was chosen of %(number)s: its loss was the lowest (%(loss)s) with the weights"
            " speed %(latency)s%%, cost %(cost)s%%, quality %(quality)s%%"
        )
        % words
    )


def _only(first: AttemptRecord, decision: Decision) -> str:
    left_out = len(decision.left_out)
    if not left_out:
        return _("%(provider)s was the only one that serves this model here") % {"provider": first.provider}
    return ngettext(
        "%(provider)s was the only one that could be asked: %(number)s other was left out",
        "%(provider)s was the only one that could be asked: %(number)s others were left out",
        left_out,
    ) % {"provider": first.provider, "number": left_out}
