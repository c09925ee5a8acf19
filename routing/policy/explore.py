"""Now and then another deployment than the best goes first, so that what is little known or was bad gets looked at."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from routing.policy.score import HEALTHY, Scored

SHARE = 0.01  # of requests, at most
COLD_SHARE = 0.2  # while there is a candidate that was hardly ever asked
COLD = 1.5  # attempts
_SEEN = 8.0  # how much less a look is worth for each attempt of the last minutes
_VARIES = 0.8  # by how much the logarithm of the expected seconds may have changed, or is off where nothing is known
_SLOWEST = 1e-9
_LEAST = 0.02  # doubts below it are none


def explore(ranked: Sequence[Scored], chance: float) -> int:
    """Which place goes first: 0, or for a few `chance` in [0, 1) another healthy one's.

    At most SHARE of requests, or COLD_SHARE as long as somebody is cold. The less is known of a candidate the more
    often; the quicker it would have to be than it is thought to be the more rarely, and never one that no speed could
    make the best.
    """
    if len(ranked) < 2 or chance >= COLD_SHARE:
        return 0
    best = ranked[0]
    cold = [_doubt(best, one) if one.option.vitals.seen < COLD else 0.0 for one in ranked]
    if any(cold):
        doubts, share = cold, COLD_SHARE
    elif chance >= SHARE:
        return 0
    else:
        doubts, share = [_doubt(best, one) for one in ranked], SHARE
    total = sum(doubts)
    if total <= 0:
        return 0
    # The range of chances is divided among the candidates; what doubt does not claim stays with the best.
    at = chance / share * max(1.0, total)
    for place, doubt in enumerate(doubts):
        at -= doubt
        if at < 0:
            return place
    return 0


def _doubt(best: Scored, one: Scored) -> float:
    """0 to 1: how little is known of it, less for what is likely to be worse."""
    if one is best or one.tier != HEALTHY or one.option.priority != best.option.priority:
        return 0.0
    if _known(one) >= _known(best) + best.at_stake:
        return 0.0  # it could not be the best even if it answered at once
    vitals = one.option.vitals
    unknown = 1 / (1 + _SEEN * max(vitals.timed, vitals.samples))
    lacking = max(0.0, one.loss - best.loss) / best.at_stake / max(1 - one.latency, _SLOWEST)
    far = log(1 + lacking) / _VARIES
    if vitals.seen < COLD:
        far *= (1 + vitals.seen) ** 0.5
    doubt = unknown / (1 + far * far)
    return doubt if doubt >= _LEAST else 0.0


def _known(one: Scored) -> float:
    """The part of the loss that no look can change: cost and quality."""
    return one.loss - one.at_stake * one.latency
