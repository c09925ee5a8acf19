"""POST /v1/messages/count_tokens and Gemini's :countTokens: free, outside the rate limit, never logged.

Forwarded where the provider counts itself, since only it knows its own tokenizer; estimated offline otherwise, and
where the provider does not answer at once. One look at an agent's context asks for two dozen counts in parallel.
"""

from __future__ import annotations

import asyncio

from gateway import admission, answers
from gateway.exchange import Exchange
from gateway.protocol.anthropic_messages.count_tokens import decode_count, encode_token_count, splice_count
from gateway.protocol.conversation import Conversation
from gateway.protocol.dialects import CLIENT_CODECS
from gateway.protocol.estimate import count_tokens as estimate
from gateway.protocol.json_text import dump, load_request
from gateway.request import ClientRequest, text_headers
from gateway.routes import Route
from gateway.services import Services
from gateway.upstream.address import auth_headers, url_of
from gateway.upstream.client import TransportFailure, UpstreamClient, UpstreamRequest
from routing.catalogue import DeploymentInfo

_MESSAGES = "anthropic_messages"
# Providers whose Messages surface has this endpoint; the others that copy the dialect left it out.
_COUNT_THEMSELVES = frozenset(("anthropic", "azure", "sandbox"))
_PATIENCE_S = 5.0
_MOST_BYTES = 64 * 1024


async def count_tokens(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers the count in the caller's dialect. Raises GatewayError or ProtocolError."""
    exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    body = await request.body(services.config.max_body_bytes)
    if route.dialect == _MESSAGES:
        body = dump({**load_request(body), "max_tokens": 1})  # which a request to count does not have
    conversation = CLIENT_CODECS[route.dialect].decode_request(body, route.target)
    exchange.take(conversation)
    services.choices.route(exchange, request.headers)
    assert exchange.plan is not None
    tokens: int | None = None
    deployment = exchange.plan.steps[0].deployment
    if route.dialect == _MESSAGES and _counts_itself(deployment):
        tokens = await _ask(deployment, conversation, text_headers(request), services.upstream)
    if tokens is None:
        # The first count loads the vocabulary, which takes a second or two.
        tokens = await asyncio.to_thread(estimate, conversation, exchange.plan.model.slug)
    exchange.status = 200
    answer = encode_token_count(tokens) if route.dialect == _MESSAGES else dump({"totalTokens": tokens})
    await request.answer(200, answer, answers.headers(exchange, answers.JSON))


def _counts_itself(deployment: DeploymentInfo) -> bool:
    return deployment.provider in _COUNT_THEMSELVES and _MESSAGES in deployment.base_urls


async def _ask(
    deployment: DeploymentInfo, conversation: Conversation, headers: dict[str, str], client: UpstreamClient
) -> int | None:
    """The provider's own count; None when it gave none, whatever the reason."""
    encoded = splice_count(conversation.source, deployment.upstream_id, headers)
    upstream = UpstreamRequest(
        url=url_of(deployment, _MESSAGES, encoded.path),
        headers={
            "content-type": "application/json",
            "user-agent": "router-one",
            **deployment.extra_headers,
            **encoded.headers,
            **auth_headers(deployment, deployment.secret, _MESSAGES),
        },
        body=encoded.body,
        connect_timeout_s=_PATIENCE_S,
        read_timeout_s=_PATIENCE_S,
    )
    try:
        response = await client.send(upstream)
        try:
            raw = bytearray()
            async for chunk in response.chunks():
                raw += chunk
                if len(raw) > _MOST_BYTES:
                    return None
        finally:
            await response.close()
    except TransportFailure:
        return None
    return decode_count(bytes(raw)) if response.status == 200 else None
