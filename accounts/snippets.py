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
    """Only for endpoints that are open: Claude Code and Codex need ones that are not."""
    url = str(settings.PUBLIC_URL)
    model = SANDBOX_MODEL if settings.SANDBOX_ENABLED else SAMPLE_MODEL
    return (
        Snippet("Python", _python(url, raw_key, model)),
        Snippet("curl", _curl(url, raw_key, model)),
    )


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
