"""Where a deployment is called, and with which credential."""

from __future__ import annotations

from gateway.upstream.target import PreparedTarget, prepare
from routing.catalogue import DeploymentInfo
from routing.policy.candidate import CredentialInfo

_PREPARED: dict[int, tuple[DeploymentInfo, dict[tuple[str, str, bool, int], PreparedTarget]]] = {}
_MOST_CALLS = 64

_UNTRANSLATED = frozenset(("openai_embeddings",))  # no conversation, so nothing to translate into one


def url_of(deployment: DeploymentInfo, dialect: str, path: str) -> str:
    """The full URL of a call; `path` is the dialect's own, such as /chat/completions."""
    base = deployment.base_urls[dialect].rstrip("/")
    if dialect == "anthropic_messages" and not base.endswith("/v1"):
        base += "/v1"  # several hosts publish the bare prefix that Anthropic's own SDK completes itself
    return base + path


def auth_headers(deployment: DeploymentInfo, secret: str | None, dialect: str) -> dict[str, str]:
    """The header that carries our credential, by the provider's way of doing it. Never a key in a URL."""
    if not secret:
        return {}
    style = deployment.auth.lower()
    if style.startswith("api-key"):
        return {"api-key": secret}
    if dialect == "anthropic_messages" and style.startswith("x-api-key"):
        return {"x-api-key": secret}
    if dialect == "gemini_generate" and style.startswith("x-goog-api-key"):
        return {"x-goog-api-key": secret}
    return {"authorization": f"Bearer {secret}"}  # every OpenAI surface, Google's and Anthropic's too


def prepared(
    deployment: DeploymentInfo, credential: CredentialInfo | None, dialect: str, path: str, *, stream: bool
) -> PreparedTarget:
    """What is the same for every such call; kept per deployment. Raises TransportFailure for an unsendable address."""
    key = (dialect, path, stream, 0 if credential is None else credential.id)
    known = _PREPARED.setdefault(deployment.id, (deployment, {}))
    if known[0] is not deployment:  # a new state of the catalogue
        known = _PREPARED[deployment.id] = (deployment, {})
    calls = known[1]
    call = calls.get(key)
    if call is None:
        if len(calls) > _MOST_CALLS:
            calls.clear()
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            "accept-encoding": "identity" if stream else "gzip, deflate",
            "user-agent": "router-one",
            **deployment.extra_headers,
            **auth_headers(deployment, deployment.secret if credential is None else credential.secret, dialect),
        }
        call = calls[key] = prepare(url_of(deployment, dialect, path), headers)
    return call


def dialect_for(deployment: DeploymentInfo, client_dialect: str, spoken: frozenset[str]) -> str | None:
    """The client's own dialect where the deployment has it, else the first one that can be translated to."""
    if deployment.dialect == client_dialect and client_dialect in spoken and client_dialect in deployment.base_urls:
        return client_dialect
    offered = [deployment.dialect, *deployment.other_dialects]
    usable = [name for name in offered if name in spoken and name in deployment.base_urls]
    if client_dialect in _UNTRANSLATED:
        return client_dialect if client_dialect in usable else None
    usable = [name for name in usable if name not in _UNTRANSLATED]
    if client_dialect in usable:
        return client_dialect
    return usable[0] if usable else None
