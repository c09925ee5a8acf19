"""How providers are doing, as this process knows it: whom an attempt may go to, and what came of it.

`routing.policy.health` and `routing.policy.breaker` think; here are the clock, what processes tell each other, and the
one probe at a time that all of them share. No request waits for Redis, except one that would be a probe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from math import exp
from typing import Any, Literal, NamedTuple

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.background import end_all
from routing.catalogue import DeploymentInfo
from routing.policy.breaker import CREDENTIALS, DEPLOYMENTS, PROBE_S, Breaker
from routing.policy.candidate import CredentialInfo
from routing.policy.health import Record, Sample
from routing.policy.vitals import Vitals

log = structlog.get_logger(__name__)

LATEST = "r1:health:latest"  # deployment id -> the values of Vitals as JSON: what pages show
LATEST_KEPT_S = 900
_PUBLISH_EVERY_S = 1.0
_ESTIMATE_KEPT_S = 1.0
_LEAST_FIRST_TOKEN_S = 30.0
_USUAL_TIMES = 20.0  # an attempt that takes so much longer than usual for its first token is given up
_TIMED_ENOUGH = 10.0
_LEAST_HEDGE_S = 0.05
_P95 = 1.645  # standard deviations
_TROUBLE = (RedisError, OSError, TimeoutError)

Kind = Literal["deployment", "credential"]
_Key = tuple[Kind, int]


class Admission(NamedTuple):
    """Whether a deployment may be asked now, and with which credential. `refusal`: "" or why not. With `probes`, only
    after `take_probes` said yes."""

    credential: CredentialInfo | None = None
    refusal: str = ""
    retry_after_s: float = 0.0
    probes: tuple[_Key, ...] = ()


_FREE = Admission()
_NONE_LEFT = Admission(refusal="credential_cooling")


class Health:
    """One per process, between `start` and `stop`; a part of the gossip. The Redis client stays the caller's.

    `patience_s` is how long an attempt of which nothing is known may take until its first token.
    """

    topic = "health"

    def __init__(self, redis: Redis | None, *, patience_s: float = 120.0) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._record = Record()
        self._samples: list[Sample] = []  # not in the record yet
        self._breakers: dict[_Key, Breaker] = {}
        self._changed: dict[_Key, float] = {}  # breakers to tell of: open until then; 0: closed
        self._limits: dict[int, float] = {}
        self._estimates: dict[int, tuple[Vitals, float]] = {}  # and until when they are good enough
        self._fresh = False  # something was recorded since the last publishing
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._run(self._publish_regularly())

    async def stop(self) -> None:
        await end_all(self._tasks)

    # --- A request's way -------------------------------------------------------------------------------------------
    def admission(self, deployment: DeploymentInfo, tried: Sequence[int], chance: float) -> Admission:
        """`tried` are credentials that failed this request already; `chance` in [0, 1) chooses among several."""
        credentials = deployment.credentials
        if not self._breakers and not tried and len(credentials) <= 1:
            return Admission(credentials[0]) if credentials else _FREE
        now = time.time()
        probes: tuple[_Key, ...] = ()
        key: _Key = ("deployment", deployment.id)
        breaker = self._breakers.get(key)
        state = "closed" if breaker is None else breaker.state(now)
        if breaker is not None and state == "open":
            return Admission(refusal="breaker_open", retry_after_s=breaker.retry_after_s(now))
        if state == "half_open":
            probes = (key,)
        if not credentials:
            return _NONE_LEFT if tried else Admission(probes=probes)
        return self._with_credential(credentials, tried, chance, now, probes)

    def _with_credential(
        self,
        credentials: Sequence[CredentialInfo],
        tried: Sequence[int],
        chance: float,
        now: float,
        probes: tuple[_Key, ...],
    ) -> Admission:
        left = [one for one in credentials if one.id not in tried]
        breakers = [self._breakers.get(("credential", one.id)) for one in left]
        states = ["closed" if breaker is None else breaker.state(now) for breaker in breakers]
        good = [one for one, state in zip(left, states, strict=True) if state == "closed"]
        if good:
            return Admission(_pick(good, chance), probes=probes)
        resting = [one for one, state in zip(left, states, strict=True) if state == "half_open"]
        if resting:
            chosen = _pick(resting, chance)
            return Admission(chosen, probes=(*probes, ("credential", chosen.id)))
        waits = [breaker.retry_after_s(now) for breaker in breakers if breaker is not None]
        return Admission(refusal="credential_cooling", retry_after_s=min(waits, default=0.0))

    async def take_probes(self, admission: Admission) -> bool:
        """Whether this request may be the probe: one at a time among all processes."""
        now = time.time()
        taken: list[_Key] = []
        for key in admission.probes:
            if not self._breakers[key].take_probe(now) or not await self._is_ours(key):
                for one in taken:
                    self._give_back(one)
                return False
            taken.append(key)
        return True

    async def _is_ours(self, key: _Key) -> bool:
        if self._redis is None:
            return True
        try:
            return bool(await self._redis.set(_probe_key(key), b"1", nx=True, px=int(PROBE_S * 1000)))
        except _TROUBLE:
            return True  # then each process has its own probe

    def opened(self, deployment: DeploymentInfo, credential: CredentialInfo | None) -> None:
        """Content has begun to come, or a whole answer is there."""
        if self._breakers:
            for key in _keys(deployment, credential):
                breaker = self._breakers.get(key)
                if breaker is not None and breaker.succeeded(time.time()):
                    self._closed(key, time.time())
                    self._changed[key] = 0.0
                    self._forget_probe(key)
                    log.info("breaker_closed", kind=key[0], id=key[1])

    def answered(
        self,
        deployment_id: int,
        first_token_s: float | None,
        output_tokens: int,
        generation_s: float,
        error_class: str = "",
    ) -> None:
        """The attempt that answered is over; with an error class where it broke off. As `Sample` has them."""
        self._samples.append(Sample(deployment_id, error_class, first_token_s, output_tokens, generation_s))
        if error_class in DEPLOYMENTS:
            self._count_failure(("deployment", deployment_id), None, 0.0, at_once=False)

    def failed(
        self,
        deployment: DeploymentInfo,
        credential: CredentialInfo | None,
        error_class: str,
        retry_after_s: float | None = None,
        lost_s: float = 0.0,
    ) -> None:
        """An attempt brought nothing and took `lost_s`."""
        self._samples.append(Sample(deployment.id, error_class, lost_s=lost_s or None))
        if error_class in DEPLOYMENTS:
            self._count_failure(("deployment", deployment.id), retry_after_s, lost_s, at_once=False)
        elif error_class in CREDENTIALS:
            # Where there is no credential, or it serves nothing else, the deployment stands for it.
            key: _Key = ("deployment", deployment.id) if credential is None else ("credential", credential.id)
            self._count_failure(key, retry_after_s, lost_s, at_once=error_class != "rate_limited")
            if credential is not None:
                self._return_probe(("deployment", deployment.id))
        else:
            self.withdrew(deployment, credential)

    def withdrew(self, deployment: DeploymentInfo, credential: CredentialInfo | None) -> None:
        """The attempt told nothing of the provider: its client left, or the request was at fault."""
        if self._breakers:
            for key in _keys(deployment, credential):
                self._return_probe(key)

    def first_token_limit_s(self, deployment_id: int) -> float:
        """How long a stream may take until its first content."""
        return self._limits.get(deployment_id, self._patience_s)

    def hedge_after_s(self, deployment_id: int) -> float:
        """After which a first token is later than 19 of 20; 0 where too little is known to say so."""
        vitals = self.vitals(deployment_id)
        if vitals.timed < _TIMED_ENOUGH:
            return 0.0
        # The mean of a lognormal distribution to its 95th percentile.
        return max(_LEAST_HEDGE_S, vitals.first_token_s * exp(_P95 * vitals.spread - vitals.spread**2 / 2))

    def vitals(self, deployment_id: int) -> Vitals:
        """What is known now; estimates are up to a second old, breakers are not."""
        now = time.time()
        known = self._estimates.get(deployment_id)
        if known is None or now >= known[1]:
            self._take_in_samples(now)
            known = self._estimates[deployment_id] = (self._record.vitals(deployment_id, now), now + _ESTIMATE_KEPT_S)
        breaker = self._breakers.get(("deployment", deployment_id))
        state = "closed" if breaker is None else breaker.state(now)
        return known[0] if state == "closed" else known[0]._replace(breaker=state)

    # --- Breakers --------------------------------------------------------------------------------------------------
    def _count_failure(self, key: _Key, retry_after_s: float | None, lost_s: float, *, at_once: bool) -> None:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(key[0])
        if breaker.failed(time.time(), retry_after_s=retry_after_s, lost_s=lost_s, at_once=at_once):
            self._changed[key] = breaker.open_until
            self._forget_probe(key)
            log.warning("breaker_opened", kind=key[0], id=key[1], for_s=round(breaker.retry_after_s(time.time()), 1))

    def _closed(self, key: _Key, now: float) -> None:
        if key[0] == "deployment":
            self._take_in_samples(now)
            self._record.forgive(key[1], now)
            self._estimates.pop(key[1], None)

    def _return_probe(self, key: _Key) -> None:
        breaker = self._breakers.get(key)
        if breaker is not None and breaker.state(time.time()) == "half_open":
            self._give_back(key)

    def _give_back(self, key: _Key) -> None:
        self._breakers[key].give_probe_back()
        self._forget_probe(key)

    def _forget_probe(self, key: _Key) -> None:
        if self._redis is not None:
            self._run(self._delete(_probe_key(key)))

    async def _delete(self, name: str) -> None:
        assert self._redis is not None
        try:
            await self._redis.delete(name)
        except _TROUBLE as error:
            log.info("probe_left_to_expire", error_class=type(error).__name__)

    # --- What processes tell each other ----------------------------------------------------------------------------
    def take_news(self, now: float) -> Any:
        self._take_in_samples(now)
        self._set_limits(now)
        delta = self._record.take_delta(now)
        changed, self._changed = self._changed, {}
        if delta is None and not changed:
            return None
        return {"d": delta or [], "b": [[*key, until] for key, until in changed.items()]}

    def hear(self, news: Any, told_at: float, now: float) -> None:
        self._record.apply_delta(news["d"], told_at, now)
        for kind, number, until in news["b"]:
            if kind not in ("deployment", "credential"):
                continue
            key: _Key = (kind, int(number))
            if until > now:
                self._breakers.setdefault(key, Breaker(key[0])).open_until_then(float(until), now)
            elif not until and key in self._breakers:
                self._breakers[key].close(now)
                self._closed(key, now)

    def _take_in_samples(self, now: float) -> None:
        if self._samples:
            self._fresh = True
            samples, self._samples = self._samples, []
            for sample in samples:
                self._record.record(sample, now)

    def _set_limits(self, now: float) -> None:
        for deployment_id in self._record.known():
            vitals = self._record.vitals(deployment_id, now)
            if vitals.timed >= _TIMED_ENOUGH:
                usual = max(_LEAST_FIRST_TOKEN_S, vitals.first_token_s * _USUAL_TIMES)
                self._limits[deployment_id] = min(self._patience_s, usual)

    async def _publish_regularly(self) -> None:
        """For the pages: one process that has seen something new writes what it knows of all."""
        while True:
            await asyncio.sleep(_PUBLISH_EVERY_S)
            if not self._fresh or self._redis is None:
                continue
            self._fresh = False
            latest: dict[Any, Any] = {str(one): orjson.dumps(list(self.vitals(one))) for one in self._record.known()}
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    pipeline.hset(LATEST, mapping=latest)
                    pipeline.expire(LATEST, LATEST_KEPT_S)
                    await pipeline.execute()
            except _TROUBLE as error:
                log.info("health_not_published", error_class=type(error).__name__)

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _keys(deployment: DeploymentInfo, credential: CredentialInfo | None) -> tuple[_Key, ...]:
    own: _Key = ("deployment", deployment.id)
    return (own,) if credential is None else (own, ("credential", credential.id))


def _probe_key(key: _Key) -> str:
    return f"r1:probe:{key[0]}:{key[1]}"


def _pick(credentials: Sequence[CredentialInfo], chance: float) -> CredentialInfo:
    """By weight; those of weight 0 only where there is no other."""
    total = sum(one.weight for one in credentials)
    at = chance * total
    for one in credentials:
        at -= one.weight
        if at < 0:
            return one
    return credentials[0]
