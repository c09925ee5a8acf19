"""Go through the route plan until a provider's first content event is in hand."""

from __future__ import annotations

import asyncio
import time

from gateway.attempt import SPOKEN, Opened, Sender, Untranslatable
from gateway.config import GatewayConfig
from gateway.errors import BadRequest, NotAvailable
from gateway.exchange import Exchange
from gateway.guard import Guard
from gateway.health import Health
from gateway.upstream.address import dialect_for
from gateway.upstream.failures import AttemptFailure, to_caller
from observability.records import AttemptRecord
from routing.catalogue import DeploymentInfo
from routing.planner import RouteStep
from routing.policy import failover
from routing.policy.candidate import CredentialInfo

_MOST_SENT = 12  # attempts of one request, whatever the plan holds


class Attempts:
    """Tries the steps of one exchange in order."""

    __slots__ = ("_config", "_current", "_exchange", "_guard", "_health", "_sender", "_waits_s")

    def __init__(self, exchange: Exchange, sender: Sender, guard: Guard, health: Health, config: GatewayConfig) -> None:
        self._exchange = exchange
        self._sender = sender
        self._guard = guard
        self._health = health
        self._config = config
        self._current: DeploymentInfo | None = None
        self._waits_s = 0.0  # until the first of what was skipped may be tried again

    @property
    def reads_on(self) -> bool:
        """True where the provider goes on billing for a caller who left, so that we had better learn its figure."""
        return self._current is not None and self._current.on_client_leave == "read_on"

    async def open(self) -> Opened:
        """The first attempt that answers. Raises GatewayError when none does, or the request is at fault."""
        exchange = self._exchange
        plan = exchange.plan
        assert plan is not None
        failure: AttemptFailure | None = None
        untold: Untranslatable | None = None
        least_context: tuple[int | None] | None = None  # of the deployment that the prompt was too long for
        for step in plan.steps:
            deployment = step.deployment
            if least_context is not None and not failover.takes_more(deployment.context_length, least_context[0]):
                continue
            tried: list[int] = []
            while len(exchange.attempts) < _MOST_SENT:
                admitted = await self._admit(step, tried)
                if admitted is None:
                    break
                credential = admitted[0]
                started = time.perf_counter()
                try:
                    return await self._attempt(step, credential, started)
                except Untranslatable as lossy:
                    # Nothing was sent: another deployment may speak a dialect that has it.
                    untold = untold or lossy
                    self._health.withdrew(deployment, credential)
                    break
                except AttemptFailure as failed:
                    failure = failed
                self._failed(step, credential, started, failure)
                then = failover.after(failure.error_class, larger_context=exchange.policy.larger_context_fallback)
                if then == "stop":
                    raise to_caller(failure, len(exchange.attempts))
                if then == "larger_context":
                    least_context = (deployment.context_length,)
                if then != "other_credential" or credential is None:
                    break
                tried.append(credential.id)
        if failure is None and untold is not None:
            raise BadRequest(untold.message, code=untold.code, param=untold.param)
        if failure is None:
            raise NotAvailable(
                "No provider of this model is available just now.",
                code="provider_unavailable",
                retry_after_s=max(1, round(self._waits_s)),
            )
        raise to_caller(failure, len(exchange.attempts))

    async def _admit(self, step: RouteStep, tried: list[int]) -> tuple[CredentialInfo | None] | None:
        """With which credential this deployment may be asked now; None: not at all."""
        admission = self._health.admission(step.deployment, tried, self._exchange.chance)
        if admission.probes and not await self._health.take_probes(admission):
            self._skip(step, "breaker_open", 1.0)  # somebody else is looking whether it is well again
            return None
        if admission.refusal:
            if not tried:
                self._skip(step, admission.refusal, admission.retry_after_s)
            return None
        return (admission.credential,)

    def _skip(self, step: RouteStep, reason: str, retry_after_s: float) -> None:
        self._exchange.skipped.append((step.deployment.id, reason))
        if retry_after_s > 0:
            self._waits_s = min(self._waits_s or retry_after_s, retry_after_s)

    async def _attempt(self, step: RouteStep, credential: CredentialInfo | None, started: float) -> Opened:
        exchange, guard = self._exchange, self._guard
        number = len(exchange.attempts) + 1
        self._current = exchange.deployment = step.deployment
        exchange.model = step.model
        exchange.delivery.began = True
        guard.attempt_begins(self._health.first_token_limit_s(step.deployment.id) if exchange.stream else 0.0)
        try:
            opened = await self._sender.open(number, step, credential, started)
            exchange.dropped = opened.dropped
            self._health.opened(step.deployment, credential)
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

    def _failed(
        self, step: RouteStep, credential: CredentialInfo | None, started: float, failure: AttemptFailure
    ) -> None:
        self._exchange.delivery.began = False
        self._record(len(self._exchange.attempts) + 1, step, started, failure)
        self._health.failed(step.deployment, credential, failure.error_class, failure.retry_after_s)

    def _record(self, number: int, step: RouteStep, started: float, failure: AttemptFailure) -> None:
        exchange = self._exchange
        exchange.attempts.append(
            AttemptRecord(
                number=number,
                provider=step.deployment.provider,
                deployment_id=step.deployment.id,
                dialect=dialect_for(step.deployment, exchange.endpoint, SPOKEN) or step.deployment.dialect,
                reason=step.reason if number == 1 else "failover",
                started_ms=int((started - exchange.started) * 1000),
                first_token_ms=None,
                duration_ms=int((time.perf_counter() - started) * 1000),
                status=failure.status,
                error_class=failure.error_class,
                error_code=failure.error_code,
            )
        )
