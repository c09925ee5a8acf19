"""The input items of an OpenAI Responses request, checked as the vendor checks them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.sandbox.question import Json, Refused
from gateway.sandbox.seals import from_base64, opened, seal

CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
OUTPUTS = {output: call for call, output in CALLS.items()}
# Items of the vendor's own tools and of its compaction: taken as they are and only counted.
_HOSTED = (
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
    *("computer_call", "computer_call_output", "local_shell_call", "local_shell_call_output"),
    *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output"),
    *("mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
    *("tool_search_call", "tool_search_output"),
)
_KINDS = ("message", "reasoning", *CALLS, *OUTPUTS, "additional_tools", *_HOSTED)
# What the model itself says; one of these must follow a reasoning item.
_SPOKEN = ("reasoning", *CALLS, *(kind for kind in _HOSTED if kind.endswith("_call")))
_ROLES = ("assistant", "system", "developer", "user")
_INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")
_PARTS = {role: ("output_text", "refusal") if role == "assistant" else _INPUT_PARTS for role in _ROLES}
_ID_STARTS = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_CALL_ID = 64
_ENCRYPTED = "gAAAAA"


def encrypted(item_id: str) -> str:
    """The sealed reasoning of an item. The vendor's belongs to its item; so does this."""
    return _ENCRYPTED + seal(item_id, urlsafe=True)


def read_items(body: Json) -> list[dict[str, Any]]:
    """The input as a list of items, each with its type. Raises Refused."""
    given = body.get("input")
    if given is None:
        raise missing("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise invalid("input", "a string or a list of at least one item")
    typed = [_typed(item, f"input[{at}]") for at, item in enumerate(items)]
    for at, item in enumerate(typed):
        _check(item, f"input[{at}]")
    _check_calls(typed)
    _check_reasoning(typed)
    return typed


def missing(param: str) -> Refused:
    return Refused(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def invalid(param: str, expected: str, code: str = "invalid_type") -> Refused:
    return Refused(400, f"Invalid '{param}': expected {expected}.", code=code, param=param)


def unsupported(param: str, value: object, known: Sequence[str]) -> Refused:
    words = ", ".join(f"'{word}'" for word in known)
    message = f"Invalid value: '{str(value)[:80]}'. Supported values are: {words}."
    return Refused(400, message, code="invalid_value", param=param)


def check_name(name: object, param: str) -> str:
    if name is None:
        raise missing(param)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 128:
        message = f"Invalid '{param}': string does not match pattern. Expected a string that matches the pattern"
        raise Refused(400, f"{message} '^[a-zA-Z0-9_-]+$'.", code="invalid_value", param=param)
    return name


def parts_of(content: object) -> list[Json]:
    """The parts of a message or of a tool's output; a text alone is one part."""
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return content if isinstance(content, list) else []


def text_of(content: object) -> str:
    return "\n".join(str(part["text"]) for part in parts_of(content) if isinstance(part.get("text"), str))


def _typed(item: Any, param: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise invalid(param, "an object")
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "item_reference":
        raise _not_found(item.get("id"))
    if kind not in _KINDS:
        raise unsupported(param, kind, _KINDS)
    return {**item, "type": kind}


def _not_found(item_id: object) -> Refused:
    message = (
        f"Item with id '{str(item_id)[:80]}' not found. Items are not persisted when `store` is set to false. Try "
        "again with `store` set to true, or remove this item from your input."
    )
    return Refused(404, message, param="input")


def _check(item: dict[str, Any], param: str) -> None:
    kind = item["type"]
    start = _ID_STARTS.get(kind)
    if start and item.get("id") is not None and not str(item["id"]).startswith(start):
        message = f"Invalid '{param}.id': '{str(item['id'])[:80]}'. Expected an ID that begins with '{start}'."
        raise Refused(400, message, code="invalid_value", param=f"{param}.id")
    if kind == "message":
        _check_message(item, param)
    elif kind == "reasoning":
        _check_sealed(item, param)
    elif kind in CALLS:
        _check_call(item, param)
    elif kind in OUTPUTS:
        _call_id(item, param)
        _check_content(item.get("output"), _INPUT_PARTS, f"{param}.output")


def _check_message(item: dict[str, Any], param: str) -> None:
    if item.get("role") not in _ROLES:
        raise unsupported(f"{param}.role", item.get("role"), _ROLES)
    _check_content(item.get("content"), _PARTS[item["role"]], f"{param}.content")


def _check_content(content: object, kinds: Sequence[str], param: str) -> None:
    if content is None:
        raise missing(param)
    if not isinstance(content, str | list):
        raise invalid(param, "a string or a list of parts")
    for at, part in enumerate(content if isinstance(content, list) else []):
        place = f"{param}[{at}]"
        if not isinstance(part, dict):
            raise invalid(place, "an object")
        if part.get("type") not in kinds:
            raise unsupported(place, part.get("type"), kinds)
        if part["type"] in ("input_text", "output_text") and not isinstance(part.get("text"), str):
            raise missing(f"{place}.text")
        if part["type"] == "input_image":
            _check_image(part, place)


def _check_image(part: dict[str, Any], param: str) -> None:
    url = part.get("image_url")
    if url is None and part.get("file_id"):
        return
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:")):
        raise Refused(400, f"Invalid '{param}.image_url'. Expected a valid URL.", code="invalid_value", param=param)


def _check_call(item: dict[str, Any], param: str) -> None:
    _call_id(item, param)
    check_name(item.get("name"), f"{param}.name")
    payload = "arguments" if item["type"] == "function_call" else "input"
    if item.get(payload) is None:
        raise missing(f"{param}.{payload}")
    if not isinstance(item[payload], str):
        raise invalid(f"{param}.{payload}", "a string")


def _call_id(item: dict[str, Any], param: str) -> None:
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        raise missing(f"{param}.call_id")
    if len(call_id) > _LONGEST_CALL_ID:
        message = (
            f"Invalid '{param}.call_id': string too long. Expected a string with maximum length {_LONGEST_CALL_ID}, "
            f"but got a string with length {len(call_id)} instead."
        )
        raise Refused(400, message, code="string_above_max_length", param=f"{param}.call_id")


def _check_sealed(item: dict[str, Any], param: str) -> None:
    """A reasoning item comes back with what the sandbox sealed for it: nothing is stored here."""
    if not isinstance(item.get("summary"), list):
        raise missing(f"{param}.summary")
    sealed = item.get("encrypted_content")
    if sealed is None:
        raise _not_found(item.get("id"))
    raw = from_base64(str(sealed)[len(_ENCRYPTED) :]) if str(sealed).startswith(_ENCRYPTED) else None
    label = opened(raw) if raw is not None else None
    if label is None:
        raise _not_verified(sealed, "Encrypted content could not be decrypted or parsed.")
    if item.get("id") not in (None, label):
        raise _not_verified(sealed, "Encrypted content item_id did not match the target item id.")


def _not_verified(sealed: object, reason: str) -> Refused:
    message = f"The encrypted content {str(sealed)[:12]}... could not be verified. Reason: {reason}"
    return Refused(400, message, code="invalid_encrypted_content")


def _check_calls(items: list[dict[str, Any]]) -> None:
    """Each output has its call before it, of its own kind; each call its output somewhere behind it."""
    open_calls: dict[str, str] = {}
    for item in items:
        kind = item["type"]
        if kind in CALLS:
            open_calls[item["call_id"]] = kind
        elif kind in OUTPUTS and open_calls.pop(item["call_id"], None) != OUTPUTS[kind]:
            words = OUTPUTS[kind].replace("_", " ")
            message = f"No tool call found for {words} output with call_id {item['call_id']}."
            raise Refused(400, message, param="input")
    for call_id, kind in open_calls.items():
        raise Refused(400, f"No tool output found for {kind.replace('_', ' ')} {call_id}.", param="input")


def _check_reasoning(items: list[dict[str, Any]]) -> None:
    for item, following in zip(items, [*items[1:], None], strict=True):
        if item["type"] == "reasoning" and not (following and _is_spoken(following)):
            message = f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            raise Refused(400, message, param="input")


def _is_spoken(item: dict[str, Any]) -> bool:
    return item["type"] in _SPOKEN or (item["type"] == "message" and item["role"] == "assistant")


def results(items: list[dict[str, Any]]) -> Iterator[str]:
    """The texts of the tool outputs since the model last spoke."""
    spoken = [at for at, item in enumerate(items) if _is_spoken(item)]
    for item in items[spoken[-1] + 1 if spoken else 0 :]:
        if item["type"] in OUTPUTS:
            yield text_of(item.get("output"))
