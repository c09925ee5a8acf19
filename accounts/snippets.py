"""What to type into the tools people use, in one place for the keys page, the docs and the home page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

PLACEHOLDER_KEY = "sk-ro-…"
_ENV = "ROUTER_ONE_API_KEY"


@dataclass(frozen=True, slots=True)
class Block:
    """One thing to copy. `place` is the file it belongs in, or what it is."""

    place: str
    text: str = field(repr=False)  # the key may be in it
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Guide:
    """How one tool is set up. `name` is for anchors; the notes are sentences in the reader's language."""

    name: str
    tool: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Values:
    """`host` without a path: Anthropic's and Google's clients add their own; `url` ends in /v1, for OpenAI's."""

    host: str
    key: str = field(repr=False)
    model: str

    @property
    def url(self) -> str:
        return f"{self.host}/v1"


@sensitive_variables("key", "values")
def guides(model: str, key: str = PLACEHOLDER_KEY) -> tuple[Guide, ...]:
    """All of them, with that key and model in their texts."""
    values = _Values(str(settings.PUBLIC_URL), key, model)
    return tuple(make(values) for make in _GUIDES)


def _curl(values: _Values) -> Guide:
    text = f"""curl {values.url}/chat/completions \\
  -H "Authorization: Bearer {values.key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{values.model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
    return Guide("curl", "curl", (Block("curl", text),))


def _openai_python(values: _Values) -> Guide:
    text = f"""from openai import OpenAI

client = OpenAI(
    base_url="{values.url}",
    api_key="{values.key}",
)
answer = client.chat.completions.create(
    model="{values.model}",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"""
    notes = (_("client.responses and client.embeddings work as well."),)
    return Guide("python", "OpenAI Python", (Block("Python", text),), notes)


def _openai_node(values: _Values) -> Guide:
    text = f"""import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{values.url}",
  apiKey: "{values.key}",
}});
const answer = await client.chat.completions.create({{
  model: "{values.model}",
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);"""
    return Guide("node", "OpenAI Node.js", (Block("Node.js", text),))


def _anthropic(values: _Values) -> Guide:
    text = f"""from anthropic import Anthropic

client = Anthropic(
    base_url="{values.host}",
    api_key="{values.key}",
)
answer = client.messages.create(
    model="{values.model}",
    max_tokens=1024,
    messages=[{{"role": "user", "content": "Hello"}}],
)
print("".join(block.text for block in answer.content if block.type == "text"))"""
    notes = (_("The base URL ends without /v1: the SDK adds it."),)
    return Guide("anthropic", "Anthropic SDK", (Block("Python", text),), notes)


def _google_genai(values: _Values) -> Guide:
    text = f"""from google import genai

client = genai.Client(
    api_key="{values.key}",
    http_options={{"base_url": "{values.host}"}},
)
answer = client.models.generate_content(model="{values.model}", contents="Hello")
print(answer.text)"""
    notes = (_("The base URL ends without a version: the SDK adds /v1beta."),)
    return Guide("google-genai", "google-genai", (Block("Python", text),), notes)


def _claude_code(values: _Values) -> Guide:
    models = "\n".join(
        f"export {name}={values.model}"
        for name in (
            "ANTHROPIC_MODEL",
            "ANTHROPIC_DEFAULT_OPUS_MODEL",
            "ANTHROPIC_DEFAULT_SONNET_MODEL",
            "ANTHROPIC_DEFAULT_HAIKU_MODEL",
        )
    )
    text = f"""unset ANTHROPIC_API_KEY
export ANTHROPIC_BASE_URL={values.host}
export ANTHROPIC_AUTH_TOKEN={values.key}
{models}
claude"""
    notes = (
        _("The base URL ends without /v1. ANTHROPIC_API_KEY must not be set beside ANTHROPIC_AUTH_TOKEN."),
        _(
            "The four model lines choose another maker’s model; without them Claude Code asks for Anthropic’s own."
            " For one session, claude --model does the same."
        ),
        _(
            "With CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY=1 its /model menu also lists our models whose id"
            " contains claude or anthropic."
        ),
        _(
            "Claude Code takes the context of a model that it does not know for 1M tokens, and then compacts too late."
            " Where the model has less, compact in time with /compact."
        ),
    )
    return Guide("claude-code", "Claude Code", (Block(_("Terminal"), text),), notes)


def _codex(values: _Values) -> Guide:
    config = f"""model = "{values.model}"
model_provider = "router_one"

[model_providers.router_one]
name = "Router One"
base_url = "{values.url}"
env_key = "{_ENV}"
wire_api = "responses\""""
    terminal = f"export {_ENV}={values.key}\ncodex"
    notes = (
        _("Codex no longer goes by the variable OPENAI_BASE_URL: it needs this file."),
        _("About a model that it does not know, Codex warns that metadata is missing. That is harmless."),
    )
    blocks = (Block("~/.codex/config.toml", config, is_file=True), Block(_("Terminal"), terminal))
    return Guide("codex", "Codex CLI", blocks, notes)


def _opencode(values: _Values) -> Guide:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Router One",
        "options": {"baseURL": values.url, "apiKey": f"{{env:{_ENV}}}"},
        "models": {values.model: {"name": values.model}},
    }
    config = {
        "$schema": "https://opencode.ai/config.json",
        "model": f"router_one/{values.model}",
        "provider": {"router_one": provider},
    }
    terminal = f"export {_ENV}={values.key}\nopencode"
    blocks = (Block("opencode.json", json.dumps(config, indent=2), is_file=True), Block(_("Terminal"), terminal))
    notes = (_("The file stands in the folder of your project. Name every model there that you want to choose."),)
    return Guide("opencode", "opencode", blocks, notes)


def _langchain(values: _Values) -> Guide:
    text = f"""from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="{values.model}",
    base_url="{values.url}",
    api_key="{values.key}",
    stream_usage=True,
)
print(model.invoke("Hello").content)"""
    notes = (_("At a base URL of your choice, LangChain asks for the usage of a stream only with stream_usage."),)
    return Guide("langchain", "LangChain", (Block("Python", text),), notes)


def _pydantic_ai(values: _Values) -> Guide:
    text = f"""from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url="{values.url}", api_key="{values.key}")
agent = Agent(OpenAIChatModel("{values.model}", provider=provider))
print(agent.run_sync("Hello").output)"""
    return Guide("pydantic-ai", "Pydantic AI", (Block("Python", text),))


_GUIDES: tuple[Callable[[_Values], Guide], ...] = (
    _curl,
    _openai_python,
    _openai_node,
    _anthropic,
    _google_genai,
    _claude_code,
    _codex,
    _opencode,
    _langchain,
    _pydantic_ai,
)
