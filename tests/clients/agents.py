"""The coding agents: how each is told where Router One is, and how it is run without a person.

Each gets a home folder of its own and nothing of the caller's environment, and is told to leave other hosts alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.install import program


@dataclass(frozen=True)
class Order:
    """What an agent is to do. `events` asks for its machine-readable output."""

    url: str  # of Router One, without /v1
    key: str
    model: str
    prompt: str
    home: Path
    work: Path
    events: bool = False


@dataclass(frozen=True)
class Command:
    arguments: Sequence[str]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Agent:
    """`side_calls` is the number of requests besides those of the turn itself; `path` is where they go."""

    name: str
    package: str
    path: str
    prepare: Callable[[Order], Command]
    side_calls: int = 0


def _claude(order: Order) -> Command:
    output = ["stream-json", "--verbose", "--include-partial-messages"] if order.events else ["text"]
    arguments = [
        *(program("claude"), "-p", order.prompt, "--model", order.model, "--output-format", *output),
        # As root, Claude Code refuses to skip its questions; these are the tools that need no question then.
        *("--permission-mode", "acceptEdits", "--allowedTools", "Write,Bash"),
    ]
    env = {
        "ANTHROPIC_BASE_URL": order.url,
        "ANTHROPIC_AUTH_TOKEN": order.key,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": order.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": order.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": order.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    return Command(arguments, env)


_CODEX_CONFIG = """\
model = {model}
model_provider = "routerone"
check_for_update_on_startup = false

[model_providers.routerone]
name = "Router One"
base_url = {url}
env_key = "ROUTERONE_API_KEY"
wire_api = "responses"

[analytics]
enabled = false

[features]
plugins = false
"""


def _codex(order: Order) -> Command:
    settings = order.home / ".codex"
    settings.mkdir()
    text = _CODEX_CONFIG.format(model=json.dumps(order.model), url=json.dumps(f"{order.url}/v1"))
    (settings / "config.toml").write_text(text)
    arguments = [
        *(program("codex"), "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        *(["--json"] if order.events else []),
        order.prompt,
    ]
    return Command(arguments, {"CODEX_HOME": str(settings), "ROUTERONE_API_KEY": order.key})


def _opencode(package: str) -> Callable[[Order], Command]:
    def prepare(order: Order) -> Command:
        provider = {
            "npm": package,
            "name": "Router One",
            "options": {"baseURL": f"{order.url}/v1", "apiKey": order.key},
            "models": {order.model: {"name": order.model, "limit": {"context": 128000, "output": 8192}}},
        }
        settings = {
            "autoupdate": False,
            "share": "disabled",
            "permission": {"edit": "allow", "bash": "allow", "external_directory": "allow"},
            "provider": {"routerone": provider},
        }
        (order.work / "opencode.json").write_text(json.dumps(settings))
        arguments = [program("opencode"), "run", "-m", f"routerone/{order.model}"]
        arguments += ["--format", "json"] if order.events else []
        switched_off = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "SHARE", "DEFAULT_PLUGINS")
        env = {f"OPENCODE_DISABLE_{name}": "1" for name in switched_off}
        # It fetches a package for plug-ins in the background; offline, it goes on without.
        return Command([*arguments, order.prompt], {**env, "npm_config_offline": "true"})

    return prepare


# opencode asks once for a title of the session before its first turn.
AGENTS: Sequence[Agent] = (
    Agent("claude", "@anthropic-ai/claude-code", "/v1/messages", _claude),
    Agent("codex", "@openai/codex", "/v1/responses", _codex),
    Agent("opencode/chat", "opencode-ai", "/v1/chat/completions", _opencode("@ai-sdk/openai-compatible"), 1),
    Agent("opencode/responses", "opencode-ai", "/v1/responses", _opencode("@ai-sdk/openai"), 1),
    Agent("opencode/messages", "opencode-ai", "/v1/messages", _opencode("@ai-sdk/anthropic"), 1),
)
