"""How the product logs: one line per event, JSON in production, with secrets masked and no words of users in it.

Django calls `configure` before apps are loaded, so nothing here may import a model.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from traceback import extract_tb
from types import TracebackType
from typing import Any, Final, TypedDict

import orjson
import structlog
from structlog.typing import EventDict, Processor

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

request_id_var: ContextVar[str] = ContextVar("request_id", default="")

MASK: Final = "…"
# Names under which content or secrets travel; an event that carries one loses it.
SENSITIVE: Final = frozenset(
    {
        *("authorization", "proxy_authorization", "api_key", "apikey", "x_api_key", "x_goog_api_key", "raw_key"),
        *("secret", "client_secret", "password", "passwd", "token", "access_token", "refresh_token", "credential"),
        *("cookie", "set_cookie", "session", "sessionid", "csrftoken", "headers", "body", "payload", "data"),
        *("prompt", "messages", "content", "completion", "answer", "input", "output", "text", "arguments", "tools"),
    }
)
_SECRETS: Final = re.compile(
    r"(?P<scheme>://[^/\s:@]*:)[^/\s@]+(?=@)"  # the password in an address
    r"|(?P<bearer>\b[Bb]earer\s+)[^\s\"',]+"
    r"|(?P<key>\bsk-)[A-Za-z0-9_\-]{3,}"
    r"|(?P<google>\bAIza)[A-Za-z0-9_\-]{10,}"
)
_MOST_FRAMES: Final = 30


class Config(TypedDict):
    level: str
    json: bool


def mask(text: str) -> str:
    """The text with everything that looks like a secret replaced by `…`, keeping what kind it was."""
    return _SECRETS.sub(lambda found: (found[found.lastgroup or 0] or "") + MASK, text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(str(key)): _clean(item) for key, item in value.items() if not _is_sensitive(key)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(str(value))


def _is_sensitive(key: object) -> bool:
    return str(key).lower().replace("-", "_") in SENSITIVE


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Drop what travels under a sensitive name; mask what looks like a secret anywhere else."""
    return {
        key: value if key.startswith("_") else _clean(value) for key, value in event.items() if not _is_sensitive(key)
    }


def add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if request_id := request_id_var.get():
        event.setdefault("request_id", request_id)
    return event


def _found(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _chain(error: BaseException) -> str:
    names: list[str] = []
    link: BaseException | None = error
    while link is not None and len(names) < 8:
        names.append(f"{type(link).__module__}.{type(link).__qualname__}".removeprefix("builtins."))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return " < ".join(names)


def describe_error(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """An exception's class and where it rose. Its message is left out: it may quote a prompt, a row or a provider."""
    error = _found(event.pop("exc_info", None))
    event.pop("exc_text", None)
    event.pop("stack_info", None)
    if error is not None:
        frames = extract_tb(error.__traceback__)[-_MOST_FRAMES:]
        event["error"] = _chain(error)
        event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def quiet_foreign(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Libraries that write an exception's text into the message: keep only what they say themselves."""
    args, name = event.pop("positional_args", ()), event["_record"].name
    if name == "asyncio":
        event["event"] = str(event["event"]).split("\n", 1)[0]
    elif name.startswith("celery.") and isinstance(args, Mapping):
        event["event"] = f"task {args.get('name', '')} {args.get('description', '')}".strip()
    return event


def _to_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _formatter(json_lines: bool) -> dict[str, Any]:
    before: list[Processor] = [*_shared(), quiet_foreign]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=lambda *_: None)
    )
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": before,
        "processors": [
            describe_error,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            renderer,
        ],
        "pass_foreign_args": True,
    }


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _loggers(level: str) -> dict[str, dict[str, Any]]:
    """Handlers that libraries bring are taken away, so that each event is written once, by us."""
    through = ["django", "django.server", "django.request", "uvicorn", "uvicorn.error", "uvicorn.asgi", "celery"]
    through += ["celery.task", "daphne", "asyncio", "py.warnings"]
    # One line per request or task says what the log and the metrics say better, and costs time on the way.
    hushed = [
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "uvicorn.access",
        "celery.app.trace",
        "celery.worker.strategy",
    ]
    hushed += ["celery.beat", "kombu", "psycopg.pool", "urllib3", "hpack"]
    quiet = {"level": "WARNING", "handlers": [], "propagate": True}
    return {name: {"level": level, "handlers": [], "propagate": True} for name in through} | dict.fromkeys(
        hushed, quiet
    )


def configure(config: Config) -> None:
    """Route structlog and the standard library's loggers to one stream: `level` and whether lines are JSON."""
    level = config.get("level", "INFO")
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": _formatter(bool(config.get("json", True)))},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": _loggers(level),
        }
    )
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # else a malformed call prints its arguments to stderr, unmasked
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
