from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings

from observability.logging import configure, mask, request_id_var

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Everything that is logged as JSON during the test."""
    configure({"level": "INFO", "json": True})
    stream = io.StringIO()
    logging.getLogger().handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream
    configure(settings.LOGGING)


def events(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_the_request_id(output: io.StringIO) -> None:
    token = request_id_var.set("0199-abc")
    structlog.get_logger("gateway").info("answered", status=200, many="a\nb")
    request_id_var.reset(token)
    [event] = events(output)
    assert event["event"] == "answered"
    assert event["request_id"] == "0199-abc"
    assert (event["level"], event["logger"], event["status"]) == ("info", "gateway", 200)


def test_the_standard_librarys_loggers_come_the_same_way(output: io.StringIO) -> None:
    for name in ("django.request", "uvicorn.error", "celery.worker", "somebody.else"):
        logging.getLogger(name).warning("about %s", "it")
    assert [event["event"] for event in events(output)] == ["about it"] * 4


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ro-Abcdef0123456789",
        "Authorization: Bearer Abcdef0123456789",
        "redis://user:Abcdef0123456789@host:6379/0",
        "key=AIzaAbcdef0123456789",
    ],
)
def test_secrets_are_masked_wherever_they_stand(output: io.StringIO, secret: str) -> None:
    structlog.get_logger().info(f"said {secret} so", detail=secret, deep={"list": [secret]})
    logging.getLogger("x").info("said %s", secret)
    assert "Abcdef0123456789" not in output.getvalue()
    assert len(events(output)) == 2


@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "messages", "prompt", "body", "password", "set-cookie"])
def test_what_has_a_sensitive_name_is_dropped(output: io.StringIO, name: str) -> None:
    structlog.get_logger().info("hello", **{name: "canary"}, inside={name: "canary", "kept": 1})
    [event] = events(output)
    assert "canary" not in output.getvalue()
    assert event["inside"] == {"kept": 1}


def test_an_exception_is_its_class_and_place_without_its_words(output: io.StringIO) -> None:
    try:
        try:
            int("canary prompt")
        except ValueError as error:
            raise RuntimeError("canary again") from error
    except RuntimeError:
        structlog.get_logger().exception("crashed")
        logging.getLogger("django.request").exception("crashed too")
    first, second = events(output)
    assert first["error"] == second["error"] == "RuntimeError < ValueError"
    assert "test_logging.py" in first["frames"][-1]
    assert "canary" not in output.getvalue()


def test_libraries_do_not_quote_exceptions_in_messages(output: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception=Boom('canary')>")
    logging.getLogger("celery.app.trace").error(
        "Task %(name)s %(description)s: %(exc)s", {"name": "settle", "description": "raised", "exc": "canary"}
    )
    assert "canary" not in output.getvalue()
    assert events(output)[1]["event"] == "task settle raised"


def test_http_clients_are_quiet_below_warnings(output: io.StringIO) -> None:
    for name in ("httpx", "httpx2", "uvicorn.access"):
        logging.getLogger(name).info("HTTP Request: POST")
    assert not output.getvalue()


def test_the_console_form_hides_the_same(output: io.StringIO) -> None:
    configure({"level": "INFO", "json": False})
    logging.getLogger().handlers[0].setStream(output)  # type: ignore[attr-defined]
    try:
        raise ValueError("canary")
    except ValueError:
        structlog.get_logger().exception("crashed", key="sk-ro-Abcdef0123456789")
    assert "crashed" in output.getvalue()
    assert "canary" not in output.getvalue()
    assert "Abcdef" not in output.getvalue()


def test_mask_keeps_what_is_no_secret() -> None:
    assert mask("task-sk and a risk-free bear") == "task-sk and a risk-free bear"
