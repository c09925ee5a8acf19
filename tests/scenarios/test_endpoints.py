"""Every public path with plain HTTP: keys, shapes of errors, encodings, the bare host, models, strict mode."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
from typing import Any

import httpx2
import pytest
import zstandard

from tests.scenarios.conftest import Customer, Stack

CHAT = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hello"}]}
MESSAGES = {**CHAT, "max_tokens": 100}
RESPONSES = {"model": "sandbox/echo", "input": "hello"}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
GEMINI_PATH = "/v1beta/models/sandbox/echo:generateContent"
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": MESSAGES,
    "/v1/responses": RESPONSES,
    GEMINI_PATH: GEMINI,
    "/v1/completions": {"model": "sandbox/echo", "prompt": "hello"},
    "/v1/embeddings": {"model": "sandbox/embedding", "input": "hello"},
}


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return stack.customer()


def post(stack: Stack, path: str, body: Any, key: str = "", **headers: str) -> httpx2.Response:
    values = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        values["authorization"] = f"Bearer {key}"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.post(stack.url + path, content=content, headers=values, timeout=30)


def shape_of(path: str, body: dict[str, Any]) -> str:
    """Whose error this is, by its shape; the message must be there."""
    assert body["error"]["message"]
    if body.get("type") == "error":
        return "anthropic"
    return "gemini" if isinstance(body["error"].get("code"), int) else "openai"


def wanted_shape(path: str) -> str:
    return "anthropic" if "messages" in path else "gemini" if "v1beta" in path else "openai"


@pytest.mark.parametrize("path", BODIES)
def test_every_endpoint_answers_under_both_key_headers(stack: Stack, customer: Customer, path: str) -> None:
    for headers in ({"authorization": f"Bearer {customer.key}"}, {"x-api-key": customer.key}):
        answer = httpx2.post(stack.url + path, json=BODIES[path], headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"] == answer.headers["request-id"]
        assert float(answer.headers["x-router-cost"]) > 0


@pytest.mark.parametrize("path", [path for path in BODIES if path != GEMINI_PATH])
def test_every_endpoint_answers_on_the_bare_host_and_below_a_doubled_prefix(
    stack: Stack, customer: Customer, path: str
) -> None:
    for variant in (path.removeprefix("/v1"), "/v1" + path, path + "/", path + "?beta=true"):
        assert post(stack, variant, BODIES[path], customer.key).status_code == 200, variant


def test_gemini_clients_send_their_own_key_header_and_never_a_key_in_the_address(
    stack: Stack, customer: Customer
) -> None:
    assert post(stack, GEMINI_PATH, GEMINI, x_goog_api_key=customer.key).status_code == 200
    assert post(stack, "/v1/chat/completions", CHAT, x_goog_api_key=customer.key).status_code == 401
    refused = post(stack, f"{GEMINI_PATH}?key={customer.key}", GEMINI)
    assert refused.status_code == 401 and "address" in refused.json()["error"]["message"]
    assert customer.key not in refused.text


@pytest.mark.parametrize("path", BODIES)
def test_errors_come_in_the_shape_of_the_path(stack: Stack, customer: Customer, path: str) -> None:
    unknown = {**BODIES[path], "model": "nobody/nothing"}
    where = path.replace("sandbox/echo", "nobody/nothing")
    nothing = stack.customer(credit_usd="0")
    cases = {
        401: post(stack, path, BODIES[path], "sk-ro-wrong"),
        404: post(stack, where, unknown, customer.key),
        402: post(stack, path, BODIES[path], nothing.key),
        400: post(stack, path, b"{", customer.key),
        405: httpx2.get(stack.url + path),
    }
    for status, answer in cases.items():
        assert answer.status_code == status, answer.text
        assert shape_of(path, answer.json()) == wanted_shape(path), (status, answer.text)
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-request-id"] == answer.headers["request-id"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"a": ' * 2000,
        b"[" * 100_000,
        b'{"model": "sandbox/echo", "max_tokens": 1e999}',
        b'{"model": "sandbox/echo", "messages": [{"role": "user", "content": "\\ud800"}], "max_tokens": 9}',
        b'{"model": 5, "messages": "x", "input": 7, "contents": 3, "prompt": {}}',
        b'{"model": "sandbox/echo", "messages": [null], "input": [null], "contents": [null], "prompt": [null]}',
        b'{"model": "sandbox/echo", "messages": [], "input": [], "contents": [], "prompt": [], "stream": "yes"}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_no_body_brings_the_gateway_down(stack: Stack, customer: Customer, path: str, body: bytes) -> None:
    answer = post(stack, path, body, customer.key)
    assert 400 <= answer.status_code < 500, answer.text
    assert shape_of(path, answer.json()) == wanted_shape(path)


def test_compressed_bodies_are_taken(stack: Stack, customer: Customer) -> None:
    body = json.dumps(CHAT).encode()
    for encoding, packed in (("gzip", gzip.compress(body)), ("zstd", zstandard.compress(body))):
        answer = post(stack, "/v1/chat/completions", packed, customer.key, content_encoding=encoding)
        assert answer.status_code == 200, encoding


def test_a_websocket_upgrade_is_told_to_use_http(stack: Stack) -> None:
    host, port = stack.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            f"GET /v1/responses HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert b" 426 " in wire.recv(4096).split(b"\r\n")[0]


def test_head_of_the_bare_host_is_answered(stack: Stack) -> None:
    assert httpx2.head(stack.url + "/", follow_redirects=False).status_code < 400


def test_models_come_in_both_shapes_at_once(stack: Stack, customer: Customer) -> None:
    headers = {"x-api-key": customer.key}
    listed = httpx2.get(stack.url + "/v1/models", headers=headers).json()
    assert listed["object"] == "list" and listed["has_more"] is False
    entry = next(item for item in listed["data"] if item["id"] == "sandbox/echo")
    assert entry["object"] == "model" and entry["type"] == "model"
    assert entry["display_name"] and entry["created_at"] and entry["pricing"]["prompt"]
    assert "tools" in entry["supported_parameters"] and "reasoning" not in entry["supported_parameters"]
    two = httpx2.get(stack.url + "/v1/models?limit=2", headers=headers).json()
    assert len(two["data"]) == 2 and two["has_more"]
    more = httpx2.get(f"{stack.url}/v1/models?limit=2&after_id={two['last_id']}", headers=headers).json()
    assert more["data"][0]["id"] not in {item["id"] for item in two["data"]}
    assert httpx2.get(stack.url + "/v1/models/sandbox/echo", headers=headers).json()["id"] == "sandbox/echo"
    assert httpx2.get(stack.url + "/models", headers=headers).json()["object"] == "list"
    assert "text/html" in httpx2.get(stack.url + "/models").headers["content-type"]


def test_a_key_sees_and_uses_only_its_models(stack: Stack) -> None:
    from accounts.models import ApiKey

    customer = stack.customer()
    ApiKey.objects.filter(pk=customer.api_key_id).update(allowed_models=["sandbox/echo*"])
    headers = {"authorization": f"Bearer {customer.key}"}
    listed = httpx2.get(stack.url + "/v1/models", headers=headers).json()["data"]
    assert listed and all(item["id"].startswith("sandbox/echo") for item in listed)
    assert post(stack, "/v1/chat/completions", CHAT, customer.key).status_code == 200
    refused = post(stack, "/v1/chat/completions", {**CHAT, "model": "sandbox/tools"}, customer.key)
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "model_not_allowed"


def test_tokens_are_counted_for_nothing_and_outside_the_rate(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0", requests_per_minute=1)
    for model in ("sandbox/echo", "sandbox/echo-anthropic", "sandbox/echo-gemini"):
        body = {"model": model, "messages": [{"role": "user", "content": "How many tokens are these?"}]}
        answer = post(stack, "/v1/messages/count_tokens?beta=true", body, customer.key)
        assert answer.status_code == 200 and 5 <= answer.json()["input_tokens"] <= 60, answer.text
    counted = post(stack, "/v1beta/models/sandbox/echo:countTokens", GEMINI, customer.key)
    assert counted.json()["totalTokens"] > 0
    assert stack.rows("SELECT 1 FROM observability_requestlog WHERE api_key_id = %s", customer.api_key_id) == []


def test_embeddings_come_as_floats_and_as_base64(stack: Stack, customer: Customer) -> None:
    body = {"model": "sandbox/embedding", "input": ["one", "two"]}
    floats = post(stack, "/v1/embeddings", {**body, "encoding_format": "float"}, customer.key).json()
    packed = post(stack, "/v1/embeddings", {**body, "encoding_format": "base64"}, customer.key).json()
    assert floats["usage"]["prompt_tokens"] > 0 and len(floats["data"]) == 2
    for plain, text in zip(floats["data"], packed["data"], strict=True):
        raw = base64.b64decode(text["embedding"])
        assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(plain["embedding"], abs=1e-6)
    for wrong, where in (
        (CHAT | {"model": "sandbox/embedding"}, "/v1/chat/completions"),
        (body | {"model": "sandbox/echo"}, "/v1/embeddings"),
    ):
        refused = post(stack, where, wrong, customer.key)
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "model_not_supported"


def test_what_a_translation_loses_is_named_or_refused(stack: Stack, customer: Customer) -> None:
    body = {**MESSAGES, "top_k": 40}
    lossy = post(stack, "/v1/messages", body, customer.key)
    assert lossy.status_code == 200 and "top_k" in lossy.headers["x-router-dropped"]
    strict = post(stack, "/v1/messages", body, customer.key, x_router_strict="true")
    assert strict.status_code == 400 and "top_k" in strict.json()["error"]["message"]
    native = post(
        stack, "/v1/messages", {**body, "model": "sandbox/echo-anthropic"}, customer.key, x_router_strict="true"
    )
    assert native.status_code == 200 and "x-router-dropped" not in native.headers


def test_a_project_can_ask_for_strictness(stack: Stack) -> None:
    from accounts.models import Project

    customer = stack.customer()
    Project.objects.filter(pk=customer.project_id).update(strict_translation=True)
    assert post(stack, "/v1/messages", {**MESSAGES, "top_k": 40}, customer.key).status_code == 400


def test_legacy_completions_answer(stack: Stack, customer: Customer) -> None:
    client = stack.openai(customer)
    whole = client.completions.create(model="sandbox/echo", prompt="hello", max_tokens=50)
    assert whole.object == "text_completion" and whole.choices[0].text
    pieces = client.completions.create(model="sandbox/echo", prompt="hello", max_tokens=50, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == whole.choices[0].text
