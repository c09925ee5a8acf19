"""What to type into the tools people use, with their key in it. Shown once, together with the key."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

SAMPLE_MODEL = "deepseek/deepseek-v4.1-flash"
SANDBOX_MODEL = "sandbox/echo"  # answers without an account at any provider


@dataclass(frozen=True, slots=True)
class Snippet:
    tool: str
    text: str = field(repr=False)  # the key is in it


def snippets(raw_key: str) -> tuple[Snippet, ...]:
    url = str(settings.PUBLIC_URL)
    model = SANDBOX_MODEL if settings.SANDBOX_ENABLED else SAMPLE_MODEL
    return (
        Snippet("Claude Code", f"export ANTHROPIC_BASE_URL={url}\nexport ANTHROPIC_AUTH_TOKEN={raw_key}\nclaude"),
        Snippet("Codex", _codex(url, raw_key)),
        Snippet("Python", _python(url, raw_key, model)),
        Snippet("curl", _curl(url, raw_key, model)),
    )


def _codex(url: str, raw_key: str) -> str:
    # Codex ignores OPENAI_BASE_URL, and speaks the Responses dialect only.
    return f"""# ~/.codex/config.toml
model_provider = "routerone"

[model_providers.routerone]
name = "Router One"
base_url = "{url}/v1"
env_key = "ROUTERONE_API_KEY"
wire_api = "responses"

# in the shell
export ROUTERONE_API_KEY={raw_key}"""


def _python(url: str, raw_key: str, model: str) -> str:
    return f"""from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{raw_key}")
reply = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(reply.choices[0].message.content)"""


def _curl(url: str, raw_key: str, model: str) -> str:
    return f"""curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {raw_key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
