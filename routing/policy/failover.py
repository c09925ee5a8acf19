"""What a failed attempt means for the next one. Pure: words in, a word out."""

from __future__ import annotations

from typing import Final, Literal

Next = Literal["stop", "next", "other_credential", "larger_context"]

# The request itself is at fault: another provider would say the same, and the caller has to mend it.
CALLERS_OWN: Final = frozenset({"bad_request", "context_length", "content_policy"})
# Our key there is limited, refused or out of credit: another key of ours may still be good.
CREDENTIALS_OWN: Final = frozenset({"rate_limited", "credential", "credit"})


def after(error_class: str, *, larger_context: bool) -> Next:
    """`error_class` as in `docs/errors.md`. `larger_context`: the project lets a prompt that is too long for one
    deployment go to one that takes more."""
    if error_class == "deadline":
        return "stop"
    if error_class == "context_length" and larger_context:
        return "larger_context"
    if error_class in CALLERS_OWN:
        return "stop"
    if error_class in CREDENTIALS_OWN:
        return "other_credential"
    return "next"


def takes_more(known: int | None, failed: int | None) -> bool:
    """Whether a deployment's context is known to be larger than that of the one whose was too small."""
    return known is not None and (failed is None or known > failed)
