"""Weights do what they say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.policy.explore import COLD, COLD_SHARE, SHARE, explore
from routing.policy.score import DEGRADED, HEALTHY, Option, Scored, rank
from routing.policy.vitals import Vitals
from routing.policy.weights import PRESETS, Weights

VITALS = st.builds(
    Vitals,
    first_token_s=st.floats(0.05, 30),
    tokens_per_s=st.floats(1, 500),
    error_rate=st.floats(0, 0.9),
    samples=st.floats(0, 100),
    timed=st.floats(0, 100),
    seen=st.floats(0, 100),
    lost_s=st.floats(0, 60),
)
COSTS = st.integers(0, 10**9)
QUALITIES = st.none() | st.floats(1, 100)
OPTIONS = st.lists(st.tuples(COSTS, QUALITIES, VITALS), min_size=1, max_size=8).map(
    lambda rows: [Option(number, *row, output_tokens=300.0) for number, row in enumerate(rows)]
)
WEIGHTS = st.builds(Weights, *(st.floats(0.01, 10) for _ in range(3)))


def _criteria(one: Scored) -> Weights:
    return Weights(one.latency, one.cost, one.quality)


@given(options=OPTIONS, weights=WEIGHTS, which=st.integers(0, 2), more=st.floats(1.01, 50))
def test_raising_a_weight_never_makes_its_criterion_worse(
    options: list[Option], weights: Weights, which: int, more: float
) -> None:
    raised = Weights(*(value * more if number == which else value for number, value in enumerate(weights)))
    before, after = rank(options, weights)[0], rank(options, raised)[0]
    if before.option.unwished == after.option.unwished:
        assert _criteria(after)[which] <= _criteria(before)[which] + 1e-9


@given(options=OPTIONS, weights=WEIGHTS, factor=st.sampled_from([0.001, 0.5, 2.0, 1024.0]))
def test_scaling_all_weights_changes_nothing(options: list[Option], weights: Weights, factor: float) -> None:
    scaled = Weights(*(value * factor for value in weights))
    ours, theirs = rank(options, weights), rank(options, scaled)
    assert abs(ours[0].loss - theirs[0].loss) < 1e-9
    assert [round(one.loss, 9) for one in ours] == [round(one.loss, 9) for one in theirs]


@given(options=OPTIONS, weights=WEIGHTS, data=st.data())
def test_who_is_worse_in_everything_is_never_first(
    options: list[Option], weights: Weights, data: st.DataObject
) -> None:
    better = data.draw(st.sampled_from(options))
    vitals = better.vitals
    worse = better._replace(
        id=99,
        cost_nanos=better.cost_nanos + data.draw(st.integers(1, 10**6)),
        vitals=vitals._replace(
            first_token_s=vitals.first_token_s * 1.5,
            tokens_per_s=vitals.tokens_per_s / 1.5,
            error_rate=min(0.99, vitals.error_rate + 0.01),
        ),
    )
    assert rank([worse, *options], weights)[0].option.id != 99


@given(options=OPTIONS, weights=WEIGHTS)
def test_the_order_depends_on_nothing_but_the_arguments(options: list[Option], weights: Weights) -> None:
    assert [one.option.id for one in rank(options, weights)] == [
        one.option.id for one in rank(list(reversed(options)), weights)
    ]
    for one in rank(options, weights):
        assert 0 <= one.latency < 1 and 0 <= one.cost <= 1 and 0 <= one.quality <= 1


def _option(number: int, **vitals: float) -> Option:
    known = Vitals(1.0, 60.0, 0.01, 50.0, 50.0, 0.3, "closed", 50.0)._replace(**vitals)
    return Option(number, 1_000_000, 50.0, known, 300.0)


def test_presets_choose_what_their_names_say() -> None:
    quick = Option(1, 9_000_000, 50.0, Vitals(0.2, 200, 0.01), 300.0)
    cheap = Option(2, 1_000_000, 40.0, Vitals(2.0, 30, 0.01), 300.0)
    good = Option(3, 20_000_000, 90.0, Vitals(2.0, 30, 0.01), 300.0)
    first = {name: rank([quick, cheap, good], weights)[0].option.id for name, weights in PRESETS.items()}
    assert (first["fastest"], first["cheapest"], first["best"]) == (1, 2, 3)


def test_who_keeps_failing_comes_last_unless_it_is_worth_the_time_that_is_lost() -> None:
    failing, slow = _option(1, error_rate=0.6, lost_s=2.0), _option(2, first_token_s=3.0)
    assert [one.option.id for one in rank([failing, slow], PRESETS["fastest"])] == [2, 1]
    at_once = _option(1, error_rate=0.6, lost_s=0.1)
    ranked = rank([at_once, slow], PRESETS["fastest"])
    assert {one.option.id: one.tier for one in ranked} == {1: DEGRADED, 2: HEALTHY}
    assert ranked[0].option.id == 1


def test_what_a_request_does_not_wish_comes_last_whatever_it_loses() -> None:
    unwished, slow = _option(1, first_token_s=0.1)._replace(unwished=True), _option(2, first_token_s=30)
    assert [one.option.id for one in rank([unwished, slow], PRESETS["fastest"])] == [2, 1]


def test_staffs_priority_goes_before_the_score_and_a_sort_takes_the_place_of_the_weights() -> None:
    quick, preferred = _option(1, first_token_s=0.1), _option(2)._replace(priority=50)
    assert rank([quick, preferred], PRESETS["fastest"])[0].option.id == 2
    dear = _option(3, first_token_s=0.1)._replace(cost_nanos=10**9)
    assert rank([dear, _option(4)], PRESETS["fastest"], sort="price")[0].option.id == 4
    assert rank([dear, _option(4)], PRESETS["cheapest"], sort="latency")[0].option.id == 3


CHANCES = [number / 10_000 for number in range(10_000)]


@given(options=OPTIONS, weights=WEIGHTS)
def test_exploring_is_bounded_and_stays_among_the_healthy(options: list[Option], weights: Weights) -> None:
    ranked = rank(options, weights)
    places = [explore(ranked, chance) for chance in CHANCES]
    others = [place for place in places if place]
    cold = any(one.option.vitals.seen < COLD for one in ranked[1:])
    assert len(others) <= (COLD_SHARE if cold else SHARE) * len(CHANCES) + 1
    for place in set(others):
        assert ranked[place].tier == HEALTHY
        assert ranked[place].option.priority == ranked[0].option.priority
    assert places == [explore(ranked, chance) for chance in CHANCES]


def test_who_is_unknown_is_looked_at_and_who_is_known_to_be_far_behind_is_not() -> None:
    best, unknown = _option(1, first_token_s=0.2), _option(2, samples=0.0, timed=0.0, seen=0.0)
    far = _option(3, first_token_s=900.0)
    ranked = rank([best, unknown, far], PRESETS["fastest"])
    seen = {ranked[explore(ranked, chance)].option.id for chance in CHANCES}
    assert seen == {1, 2}


def test_the_quicker_one_would_have_to_be_the_more_rarely_it_is_looked_at() -> None:
    best = _option(1, first_token_s=0.2)
    others = [
        _option(number, first_token_s=first_s, samples=0.0, timed=0.0) for number, first_s in ((2, 2.0), (3, 30.0))
    ]
    ranked = rank([best, *others], PRESETS["fastest"])
    looks = [ranked[explore(ranked, chance)].option.id for chance in CHANCES]
    assert looks.count(2) > 1.5 * looks.count(3) > 0


def test_who_could_not_be_the_best_at_any_speed_is_not_looked_at() -> None:
    best, unknown = _option(1), _option(2, samples=0.0, timed=0.0, seen=0.0)
    dear = unknown._replace(cost_nanos=1_500_000)
    weights = Weights(0.2, 0.8, 0)  # a third more cost weighs more than all of the latency
    assert {explore(rank([best, dear], weights), chance) for chance in CHANCES} == {0}
    assert {explore(rank([best, unknown], weights), chance) for chance in CHANCES} == {0, 1}


@given(options=OPTIONS, weights=WEIGHTS, chance=st.floats(0, COLD_SHARE))
def test_whoever_is_looked_at_would_come_before_the_best_if_it_alone_answered_at_once(
    options: list[Option], weights: Weights, chance: float
) -> None:
    ranked = rank(options, weights)
    place = explore(ranked, chance)
    if not place:
        return
    best, looked_at = ranked[0].option.id, ranked[place].option.id

    def imagined(option: Option) -> Option:
        first_s = 1e-6 if option.id == looked_at else 1e9
        return option._replace(vitals=option.vitals._replace(first_token_s=first_s, tokens_per_s=1e9, error_rate=0.0))

    losses = {one.option.id: one.loss for one in rank([imagined(option) for option in options], weights)}
    assert losses[looked_at] <= losses[best] + 1e-6
