"""An order to write a file is carried out with the tools of real coding agents."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from gateway.sandbox.question import Tool
from gateway.sandbox.writing import writing_call

ORDER = "Please obey.\nsandbox: write notes.txt It's 5 o'clock, $HOME\nThank you."
TEXT = "It's 5 o'clock, $HOME"
COMMAND = """printf '%s\\n' 'It'"'"'s 5 o'"'"'clock, $HOME' > notes.txt"""
READ = Tool("Read", {"type": "object", "properties": {"file_path": {"type": "string"}}})
LIST = {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("name", "schema", "arguments"),
    [
        ("Write", {}, {"file_path": "notes.txt", "content": f"{TEXT}\n"}),
        ("write", {}, {"filePath": "notes.txt", "content": f"{TEXT}\n"}),
        ("Bash", {}, {"command": COMMAND}),
        ("exec_command", {}, {"cmd": COMMAND}),
        ("shell_command", {}, {"command": COMMAND}),
        ("shell", LIST, {"command": ["bash", "-lc", COMMAND]}),
        (
            "bash",
            {"properties": {"description": {"type": "string"}}, "required": ["command", "description"]},
            {"command": COMMAND, "description": "sample description"},
        ),
    ],
)
def test_the_tools_of_agents_are_known_by_name(name: str, schema: Any, arguments: dict[str, Any]) -> None:
    call = writing_call(ORDER, [READ, Tool(name, schema)])
    assert call is not None
    assert call.tool.name == name
    assert json.loads(call.arguments) == arguments


def test_a_patch_is_free_text_for_a_custom_tool_and_an_argument_for_a_function() -> None:
    patch = f"*** Begin Patch\n*** Add File: notes.txt\n+{TEXT}\n*** End Patch\n"
    custom, function = Tool("apply_patch", {}, custom=True), Tool("apply_patch", {})
    call = writing_call(ORDER, [Tool("exec_command", {}), custom])
    assert call is not None
    assert (call.tool, call.arguments) == (custom, patch)
    call = writing_call(ORDER, [function])
    assert call is not None
    assert json.loads(call.arguments) == {"input": patch}


@pytest.mark.parametrize("name", ["exec_command", "Bash"])
def test_the_command_writes_the_file(tmp_path: Path, name: str) -> None:
    call = writing_call(ORDER, [Tool(name, {})])
    assert call is not None
    (command,) = json.loads(call.arguments).values()
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "notes.txt").read_text() == f"{TEXT}\n"


@pytest.mark.parametrize("text", ["Hello", "say sandbox: write a b", "sandbox: write alone", "sandbox: read a b"])
def test_only_a_whole_line_is_an_order(text: str) -> None:
    assert writing_call(text, [Tool("Write", {})]) is None


def test_without_a_known_tool_the_first_one_is_called(openai_client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "name": "other", "strict": False, "parameters": {"type": "object"}}
    answer = openai_client.responses.create(model="sandbox-tools", input=ORDER, tools=[tool])
    assert [item.name for item in answer.output if item.type == "function_call"] == ["other"]


def test_an_agent_goes_round_once_and_hears_what_its_tool_said(anthropic_client: anthropic.Anthropic) -> None:
    tools: Any = [{"name": name, "input_schema": {"type": "object"}} for name in ("Read", "Bash", "Write")]
    body: Any = {"model": "sandbox-tools", "max_tokens": 500, "tools": tools}
    messages: Any = [{"role": "user", "content": ORDER}]
    asked = anthropic_client.messages.create(**body, messages=messages)
    (call,) = asked.content
    assert call.type == "tool_use"
    assert call.name == "Write"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "File created"}
    messages += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    # Some agents put a note of their own behind the results.
    for note in ([], [{"role": "system", "content": "It is Monday."}]):
        answer: Any = anthropic_client.messages.create(**body, messages=[*messages, *note])
        assert answer.content[0].text == 'The tool answered: "File created".'
