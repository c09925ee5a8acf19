"""Go through the route plan until a provider's first content event is in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from gateway.attempt import SPOKEN, Opened, Sender, Untranslatable
from gateway.config import GatewayConfig
from gateway.errors import BadRequest, GatewayError, NotAvailable
from gateway.exchange import Exchange
from gateway.guard import Guard
from gateway.health import Admission, Health
from gateway.hedge import race
from gateway.upstream.address import dialect_for
from gateway.upstream.failures import AttemptFailure, to_caller
from observability.records import AttemptRecord
from routing.catalogue import DeploymentInfo
from routing.planner import RouteStep
from routing.policy import failover
from routing.policy.candidate import CredentialInfo

CONTINUE = "continue"  # goes on with an answer that broke off
_MOST_SENT = 12  # attempts of one request, whatever the plan holds
_OWN_REASONS = frozenset(("hedge", CONTINUE))  # of attempts that are not the first one


class Attempts:
    """Tries the steps of one exchange in order."""

    __slots__ = (
        "_config",
        "_current",
        "_empty",
        "_exchange",
        "_failure",
        "_goes_on",
        "_guard",
        "_health",
        "_sender",
        "_too_small",
        "_untold",
        "_waits_s",
    )

    def __init__(self, exchange: Exchange, sender: Sender, guard: Guard, health: Health, config: GatewayConfig) -> None:
        self._exchange = exchange
        self._sender = sender
        self._guard = guard
        self._health = health
        self._config = config
        self._current: DeploymentInfo | None = None
        self._failure: AttemptFailure | None = None  # the last one
        self._untold: Untranslatable | None = None  # the first one
        self._empty: Opened | None = None  # a good answer with nothing in it
        self._too_small: DeploymentInfo | None = None  # the prompt was too long for it
        self._goes_on = False  # for the rest of an answer
        self._waits_s = 0.0  # until the first of what was skipped may be tried again

    @property
    def reads_on(self) -> bool:
        """True where the provider goes on billing for a caller who left, so that we had better learn its figure."""
        return self._current is not None and self._current.on_client_leave == "read_on"

    async def open(self) -> Opened:
        """The first attempt that answers. Raises GatewayError when none does, or the request is at fault."""
        plan = self._exchange.plan
        assert plan is not None
        return await self._first_of(plan.steps)

    async def go_on(self) -> Opened:
        """Likewise, for the rest of an answer that broke off: whoever of the plan was not asked yet."""
        plan = self._exchange.plan
        assert plan is not None
        asked = {attempt.deployment_id for attempt in self._exchange.attempts}
        self._failure = self._untold = self._empty = None
        self._goes_on = True
        return await self._first_of(
            [step._replace(reason=CONTINUE) for step in plan.steps if step.deployment.id not in asked]
        )

    async def _first_of(self, steps: Sequence[RouteStep]) -> Opened:
        opened: Opened | None = None
        try:
            for place, step in enumerate(steps):
                opened = await self._try(step, steps[place + 1 :])
                if opened is not None or self._is_over():
                    break
            if opened is None and self._empty is not None:
                opened = self._take_back(self._empty)
        finally:
            if self._empty is not None and opened is not self._empty:
                await self._empty.response.close()
        if opened is None:
            raise self._trouble()
        return opened

    def _is_over(self) -> bool:
        return self._failure is not None and self._after(self._failure) == "stop"

    def _after(self, failure: AttemptFailure) -> failover.Next:
        if self._goes_on and failure.error_class in failover.CALLERS_OWN:
            return "next"  # what was refused may be our way to ask for the rest
        return failover.after(failure.error_class, larger_context=self._exchange.policy.larger_context_fallback)

    def _trouble(self) -> GatewayError:
        if self._failure is not None:
            return to_caller(self._failure, len(self._exchange.attempts))
        if self._untold is not None:
            return BadRequest(self._untold.message, code=self._untold.code, param=self._untold.param)
        return NotAvailable(
            "No provider of this model is available just now.",
            code="provider_unavailable",
            retry_after_s=max(1, round(self._waits_s)),
        )

    async def _try(self, step: RouteStep, rest: Sequence[RouteStep]) -> Opened | None:
        """One deployment, with another of its credentials where one was at fault. None: on to the next step."""
        deployment = step.deployment
        too_small = self._too_small
        if too_small is not None and not failover.takes_more(deployment.context_length, too_small.context_length):
            return None
        tried: list[int] = []
        while len(self._exchange.attempts) < _MOST_SENT:
            admission = self._health.admission(deployment, tried, self._exchange.chance)
            is_plain = not (admission.refusal or admission.probes)
            if not is_plain and not await self._may_be_asked(step, admission, tried):
                return None
            credential = admission.credential
            started = time.perf_counter()
            try:
                opened = await self._attempt(step, credential, started, rest)
            except Untranslatable as lossy:
                # Nothing was sent: another deployment may speak a dialect that has it.
                self._untold = self._untold or lossy
                self._health.withdrew(deployment, credential)
                return None
            except AttemptFailure as failed:
                failure = failed
            else:
                if not rest or self._empty is not None or not opened.is_empty(self._exchange.stream):
                    return opened
                # It may be all there is to say; but if another has more, that is the answer.
                self._empty, failure = opened, AttemptFailure("empty", status=200)
            self._fail(step, credential, started, failure)
            then = self._after(failure)
            if then == "larger_context":
                self._too_small = deployment
            if then != "other_credential" or credential is None:
                return None
            tried.append(credential.id)
        return None

    def _take_back(self, opened: Opened) -> Opened:
        """Nobody had more to say than this empty answer."""
        exchange = self._exchange
        exchange.attempts = [attempt for attempt in exchange.attempts if attempt.number != opened.number]
        exchange.deployment, exchange.model = opened.deployment, opened.step.model
        exchange.delivery.began = True
        return opened

    async def _may_be_asked(self, step: RouteStep, admission: Admission, tried: list[int]) -> bool:
        """Whether this deployment may be asked now, as a probe perhaps."""
        if admission.probes and not await self._health.take_probes(admission):
            self._skip(step, "breaker_open", 1.0)  # somebody else is looking whether it is well again
            return False
        if admission.refusal:
            if not tried:
                self._skip(step, admission.refusal, admission.retry_after_s)
            return False
        return True

    def _skip(self, step: RouteStep, reason: str, retry_after_s: float) -> None:
        self._exchange.skipped.append((step.deployment.id, reason))
        if retry_after_s > 0:
            self._waits_s = min(self._waits_s or retry_after_s, retry_after_s)

    async def _attempt(
        self, step: RouteStep, credential: CredentialInfo | None, started: float, rest: Sequence[RouteStep]
    ) -> Opened:
        exchange, guard = self._exchange, self._guard
        number = len(exchange.attempts) + 1
        self._current = exchange.deployment = step.deployment
        exchange.model = step.model
        exchange.delivery.began = True
        if exchange.stream:
            guard.attempt_begins(self._health.first_token_limit_s(step.deployment.id))
        try:
            after_s = self._hedges_after_s(step) if rest and exchange.policy.hedge else 0.0
            if after_s:
                opened = await self._race(number, step, credential, started, rest, after_s)
            else:
                opened = await self._sender.open(number, step, credential, started)
            exchange.dropped = opened.dropped
            self._health.opened(opened.deployment, opened.credential)
            return opened
        except asyncio.CancelledError:
            reason = guard.stopped()
            if reason == "first_token":
                guard.goes_on()
                raise AttemptFailure("first_token_timeout") from None
            if reason == "deadline":
                raise AttemptFailure("deadline") from None
            self._record(number, step, started, AttemptFailure("client_left"))
            self._health.withdrew(step.deployment, credential)
            raise
        except (AttemptFailure, Untranslatable):
            exchange.delivery.began = False
            raise
        finally:
            guard.attempt_ends()
            exchange.upstream_s += time.perf_counter() - started

    def _hedges_after_s(self, step: RouteStep) -> float:
        """When a second attempt begins beside this one, where the project has it so; 0: never."""
        exchange = self._exchange
        if exchange.stream and not self._goes_on and (exchange.policy.hedge != "paid" or exchange.hedge_nanos):
            return self._health.hedge_after_s(step.deployment.id)
        return 0.0

    async def _race(
        self,
        number: int,
        step: RouteStep,
        credential: CredentialInfo | None,
        started: float,
        rest: Sequence[RouteStep],
        after_s: float,
    ) -> Opened:
        """One attempt, and a second one beside it once the first is slower than usual."""
        exchange = self._exchange
        spare: list[tuple[RouteStep, CredentialInfo | None, float]] = []

        def second() -> Coroutine[Any, Any, Opened] | None:
            for other in rest:
                admission = self._health.admission(other.deployment, (), exchange.chance)
                if not admission.refusal and not admission.probes:
                    spare.append((other._replace(reason="hedge"), admission.credential, time.perf_counter()))
                    return self._sender.open(number + 1, *spare[0], accepted)
            return None

        accepted: list[Opened] = []
        opened, outcome = await race(self._sender.open(number, step, credential, started, accepted), after_s, second)
        if outcome.other_began:
            loser = (step, credential, started) if outcome.winner else spare[0]
            failure = outcome.other_failed
            if not isinstance(failure, AttemptFailure):
                failure = AttemptFailure("hedged")  # stopped: the other was sooner
                for other in accepted:
                    if other is not opened:
                        await other.response.close()  # it may have answered in the same moment
                        exchange.hedge_lost = other
            self._record(number + (1 - outcome.winner), loser[0], loser[2], failure)
            self._health.failed(loser[0].deployment, loser[1], failure.error_class, failure.retry_after_s)
            exchange.deployment, exchange.model = opened.deployment, opened.step.model
            self._current = opened.deployment
        return opened

    def _fail(
        self, step: RouteStep, credential: CredentialInfo | None, started: float, failure: AttemptFailure
    ) -> None:
        self._failure = failure
        self._exchange.delivery.began = False
        self._record(len(self._exchange.attempts) + 1, step, started, failure)
        lost_s = time.perf_counter() - started
        self._health.failed(step.deployment, credential, failure.error_class, failure.retry_after_s, lost_s)

    def _record(self, number: int, step: RouteStep, started: float, failure: AttemptFailure) -> None:
        exchange = self._exchange
        exchange.attempts.append(
            AttemptRecord(
                number=number,
                provider=step.deployment.provider,
                deployment_id=step.deployment.id,
                dialect=dialect_for(step.deployment, exchange.endpoint, SPOKEN) or step.deployment.dialect,
                reason=reason_of(step, number),
                started_ms=int((started - exchange.started) * 1000),
                first_token_ms=None,
                duration_ms=int((time.perf_counter() - started) * 1000),
                status=failure.status,
                error_class=failure.error_class,
                error_code=failure.error_code,
            )
        )


def reason_of(step: RouteStep, number: int) -> str:
    """Why this attempt was made, in one word for the log."""
    return step.reason if number == 1 or step.reason in _OWN_REASONS else "failover"
