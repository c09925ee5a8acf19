"""What a stream does when its provider is slow, silent or gone, and when the client asks in unusual ways."""

from __future__ import annotations

import gzip
import json

import httpx2
import pytest

from tests.scenarios.conftest import Stack
from tests.scenarios.processes import Process

BODY = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 50, "stream": True}


@pytest.fixture(scope="module")
def impatient(stack: Stack) -> Process:
    """A gateway that gives signs of life, and gives up, sooner than customers would want."""
    return stack.processes.gateway(
        SANDBOX_URL=stack.sandbox.url, KEEP_ALIVE_S="0.5", STALL_TIMEOUT_S="2", FIRST_BYTE_TIMEOUT_S="8"
    )


def _stream(url: str, key: str, model: str) -> tuple[int, list[str]]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.stream(
        "POST", f"{url}/v1/chat/completions", headers=headers, json={"model": model, **BODY}, timeout=30
    ) as answer:
        return answer.status_code, [line for line in answer.iter_lines() if line]


def test_a_silent_provider_gets_signs_of_life_before_its_answer(stack: Stack, impatient: Process) -> None:
    status, lines = _stream(impatient.url, stack.customer().key, "sandbox/slow")
    first_data = next(i for i, line in enumerate(lines) if line.startswith("data:"))
    assert status == 200
    assert first_data >= 2 and all(line.startswith(":") for line in lines[:first_data])
    assert lines[-1] == "data: [DONE]"


def test_a_provider_that_stalls_ends_in_an_error_event(stack: Stack, impatient: Process) -> None:
    customer = stack.customer()
    status, lines = _stream(impatient.url, customer.key, "sandbox/stall")
    assert status == 200
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "error" in data[-1] and "data: [DONE]" not in lines
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    (row,) = stack.rows(
        "SELECT r.policy, a->>9 FROM observability_requestlog r, jsonb_array_elements(r.trace->'attempts') a"
        " WHERE r.api_key_id = %s",
        customer.api_key_id,
    )
    assert row == ("broken_off", "stalled")


def test_running_streams_finish_when_the_server_is_told_to_stop(stack: Stack) -> None:
    customer = stack.customer()
    gateway = stack.processes.gateway(SANDBOX_URL=stack.sandbox.url)
    headers = {"authorization": f"Bearer {customer.key}"}
    url = f"{gateway.url}/v1/chat/completions"
    with httpx2.stream("POST", url, headers=headers, json={"model": "sandbox/slow", **BODY}, timeout=30) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if '"content"' in line)
        gateway.popen.terminate()
        assert [line for line in lines if line][-1] == "data: [DONE]"
    gateway.stop()
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    assert stack.rows(
        "SELECT outcome, usage_source FROM observability_requestlog WHERE api_key_id = %s", customer.api_key_id
    ) == [("answered", "reported")]


def test_a_compressed_body_is_understood(stack: Stack) -> None:
    customer = stack.customer()
    body = gzip.compress(json.dumps({"model": "sandbox/echo", **BODY, "stream": False}).encode())
    headers = {"x-api-key": customer.key, "content-encoding": "gzip", "content-type": "application/json"}
    assert httpx2.post(f"{stack.url}/v1/chat/completions", headers=headers, content=body).status_code == 200


@pytest.mark.parametrize(("megabytes", "status"), [(20, 200), (33, 413)])
def test_large_bodies_are_served_up_to_the_limit(stack: Stack, megabytes: int, status: int) -> None:
    customer = stack.customer(credit_usd="1000")
    text = "lorem ipsum " * (megabytes * 1024 * 1024 // 12)
    body = {"model": "sandbox/exact", "messages": [{"role": "user", "content": text}], "max_tokens": 5}
    answer = httpx2.post(f"{stack.url}/v1/chat/completions", headers={"x-api-key": customer.key}, json=body, timeout=60)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] == "request_too_large"


def test_a_wrong_key_is_refused_even_with_a_large_body(stack: Stack) -> None:
    answer = httpx2.post(f"{stack.url}/v1/chat/completions", content=b" " * 5_000_000, timeout=30)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "missing_api_key"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/nothing", 404), ("GET", "/v1/", 404)],
)
def test_unknown_paths_and_methods_answer_in_openais_shape(stack: Stack, method: str, path: str, status: int) -> None:
    answer = httpx2.request(method, stack.url + path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] and answer.headers["x-should-retry"] == "false"
