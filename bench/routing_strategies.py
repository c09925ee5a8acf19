"""Ways to choose among simulated providers: ours, what others do, and what only somebody all-knowing could do."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.routing_worlds import Scenario, State
from routing.policy.breaker import Breaker
from routing.policy.explore import explore
from routing.policy.health import Record, Sample
from routing.policy.score import Option, rank
from routing.policy.weights import Weights

OUTPUT_TOKENS: Final = 300.0
RETRY_AFTER_S: Final = 10.0
_LIMITED_S: Final = 0.1  # how long it takes to be told of a limit
_MOST_ATTEMPTS: Final = 4


class Attempt(NamedTuple):
    ok: bool
    limited: bool
    first_s: float
    seconds: float
    cost: float
    quality: float
    tokens: int


class World:
    """A scenario with so many requests, evenly spread, and the references of its losses."""

    def __init__(self, scenario: Scenario, requests: int) -> None:
        self.requests = requests
        self.times = [scenario.span_s * number / requests for number in range(requests)]
        self.states = [[provider(at) for provider in scenario.providers] for at in self.times]
        moments = [state for states in self.states for state in states]
        self.least_s = min(state.first_s + OUTPUT_TOKENS / state.speed for state in moments)
        self.least_cost = min(state.price for state in moments) * OUTPUT_TOKENS
        self.best_quality = max(state.quality for state in moments)
        self._drawn: dict[int, list[list[Attempt]]] = {}

    def attempts(self, seed: int) -> list[list[Attempt]]:
        """What comes of each request at each provider: the same for all strategies, so that chance favours none."""
        drawn = self._drawn.get(seed)
        if drawn is None:
            chance = random.Random(seed)
            drawn = self._drawn[seed] = [
                _attempts(states, max(20, int(chance.gauss(OUTPUT_TOKENS, 80))), chance) for states in self.states
            ]
        return drawn

    def loss(self, weights: Weights, seconds: float, answer: Attempt | None) -> float:
        if answer is None:
            return 1.0
        by = weights.shares()
        # Per token of the usual length, so that long answers are nobody's fault.
        cost = answer.cost / answer.tokens * OUTPUT_TOKENS
        latency = max(0.0, 1 - self.least_s / seconds)
        return (
            by.latency * latency
            + by.cost * max(0.0, 1 - self.least_cost / cost)
            + by.quality * (1 - answer.quality / self.best_quality)
        )


def _attempts(states: Sequence[State], tokens: int, chance: random.Random) -> list[Attempt]:
    return [_attempt(state, tokens, chance.random(), chance.gauss(0, 1)) for state in states]


def _attempt(state: State, tokens: int, lot: float, deviation: float) -> Attempt:
    first = state.first_s * math.exp(deviation * state.spread)
    if lot < state.errors:
        lost = _LIMITED_S if state.limited else first + state.lost_s
        return Attempt(False, state.limited, lost, lost, 0.0, 0.0, 0)
    return Attempt(True, False, first, first + tokens / state.speed, state.price * tokens, state.quality, tokens)


class Strategy:
    """`order` says whom to ask, in turn, `may` whether one may be asked after all; `told` hears of every attempt."""

    def __init__(self, world: World, weights: Weights, chance: random.Random) -> None:
        self.world, self.weights, self.chance = world, weights, chance
        self.count = len(world.states[0])

    def order(self, number: int, at: float) -> Sequence[int]:
        raise NotImplementedError

    def may(self, place: int, at: float) -> bool:
        return True

    def told(self, place: int, at: float, attempt: Attempt) -> None:
        pass


class Ours(Strategy):
    """The product's own code. It sees prices and qualities, which are public, and what came of its attempts."""

    def __init__(self, world: World, weights: Weights, chance: random.Random) -> None:
        super().__init__(world, weights, chance)
        self.record = Record()
        self.breakers = [Breaker() for _ in range(self.count)]

    def order(self, number: int, at: float) -> Sequence[int]:
        options = []
        for place, state in enumerate(self.world.states[number]):
            vitals = self.record.vitals(place, at, self.breakers[place].state(at))
            options.append(Option(place, int(state.price * OUTPUT_TOKENS), state.quality, vitals, OUTPUT_TOKENS))
        ranked = rank(options, self.weights)
        first = explore(ranked, self.chance.random())
        places = [one.option.id for one in ranked]
        if first:
            places.insert(0, places.pop(first))
        return places

    def may(self, place: int, at: float) -> bool:
        breaker = self.breakers[place]
        state = breaker.state(at)
        return state == "closed" or (state == "half_open" and breaker.take_probe(at))

    def told(self, place: int, at: float, attempt: Attempt) -> None:
        if attempt.ok:
            if self.breakers[place].succeeded(at):
                self.record.forgive(place, at)
            writing = attempt.seconds - attempt.first_s
            self.record.record(Sample(place, "", attempt.first_s, attempt.tokens, writing), at)
        else:
            error_class, wait_s = ("rate_limited", RETRY_AFTER_S) if attempt.limited else ("server_error", None)
            self.breakers[place].failed(at, retry_after_s=wait_s, lost_s=attempt.seconds)
            self.record.record(Sample(place, error_class, lost_s=attempt.seconds), at)


class Oracle(Strategy):
    """Knows the true state of all at every moment, but not what will come of an attempt."""

    def order(self, number: int, at: float) -> Sequence[int]:
        states = self.world.states[number]
        return sorted(range(len(states)), key=lambda place: self._expected(states[place]))

    def _expected(self, state: State) -> float:
        first_s = state.first_s * math.exp(state.spread**2 / 2)
        failing = min(state.errors, 0.999)
        lost = failing / (1 - failing) * (_LIMITED_S if state.limited else first_s + state.lost_s)
        seconds = first_s + OUTPUT_TOKENS / state.speed + lost
        answer = Attempt(True, False, 0, 0, state.price * OUTPUT_TOKENS, state.quality, int(OUTPUT_TOKENS))
        return self.world.loss(self.weights, seconds, answer)


class Fixed(Strategy):
    """One first, whatever happens."""

    first = 0

    def order(self, number: int, at: float) -> Sequence[int]:
        return [self.first, *(place for place in range(self.count) if place != self.first)]


class Obeying(Fixed):
    """The same, but it stays away from a provider for as long as that asked for."""

    def __init__(self, world: World, weights: Weights, chance: random.Random) -> None:
        super().__init__(world, weights, chance)
        self.until = [0.0] * self.count

    def may(self, place: int, at: float) -> bool:
        return self.until[place] <= at

    def told(self, place: int, at: float, attempt: Attempt) -> None:
        if attempt.limited:
            self.until[place] = at + RETRY_AFTER_S


class ByPrice(Strategy):
    """The cheapest that has not just failed."""

    def __init__(self, world: World, weights: Weights, chance: random.Random) -> None:
        super().__init__(world, weights, chance)
        self.until = [0.0] * self.count

    def order(self, number: int, at: float) -> Sequence[int]:
        states = self.world.states[number]
        return sorted(range(self.count), key=lambda place: (self.until[place] > at, states[place].price))

    def told(self, place: int, at: float, attempt: Attempt) -> None:
        if not attempt.ok:
            self.until[place] = at + 30


class Random(ByPrice):
    """Drawn by one over the square of the price among those that have not just failed."""

    def order(self, number: int, at: float) -> Sequence[int]:
        left = [place for place, until in enumerate(self.until) if until <= at]
        resting = [place for place, until in enumerate(self.until) if until > at]
        states, drawn = self.world.states[number], []
        while left:
            drawn.append(self.chance.choices(left, [1 / states[place].price ** 2 for place in left])[0])
            left.remove(drawn[-1])
        return drawn + resting


class ByLatency(Strategy):
    """As in LiteLLM's router: lists of ten, the unknown first, cooldowns."""

    def __init__(self, world: World, weights: Weights, chance: random.Random) -> None:
        super().__init__(world, weights, chance)
        self.times: list[deque[float]] = [deque(maxlen=10) for _ in range(self.count)]
        self.recent: list[deque[tuple[float, bool]]] = [deque() for _ in range(self.count)]
        self.cool = [0.0] * self.count

    def order(self, number: int, at: float) -> Sequence[int]:
        places = list(range(self.count))
        self.chance.shuffle(places)
        means = [sum(times) / len(times) if times else 0.0 for times in self.times]
        warm = [place for place in places if self.cool[place] <= at] or places
        ordered = sorted(warm, key=lambda place: means[place])
        return ordered + [place for place in places if place not in warm]

    def told(self, place: int, at: float, attempt: Attempt) -> None:
        recent = self.recent[place]
        recent.append((at, attempt.ok))
        while recent and recent[0][0] < at - 60:
            recent.popleft()
        if attempt.ok:
            self.times[place].append(attempt.seconds / attempt.tokens)
            return
        failed = sum(not ok for _, ok in recent)
        if attempt.limited or (len(recent) >= 5 and failed > len(recent) / 2):
            self.cool[place] = at + 5


STRATEGIES: Final[dict[str, type[Strategy]]] = {
    "oracle": Oracle,
    "ours": Ours,
    "random": Random,
    "price": ByPrice,
    "latency": ByLatency,
}


def run(world: World, strategy: Strategy, seed: int) -> float:
    """The mean loss. A failed attempt costs its time, then the next one is asked."""
    total = 0.0
    weights, loss = strategy.weights, world.loss
    for number, (at, attempts) in enumerate(zip(world.times, world.attempts(seed), strict=True)):
        spent, answer, asked = 0.0, None, 0
        for place in strategy.order(number, at):
            if asked == _MOST_ATTEMPTS:
                break
            if not strategy.may(place, at):
                continue
            asked += 1
            attempt = attempts[place]
            strategy.told(place, at, attempt)
            spent += attempt.seconds
            if attempt.ok:
                answer = attempt
                break
        total += loss(weights, spent, answer)
    return total / world.requests
