"""The contents of a Gemini request, checked as the vendor checks them. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.sandbox.gemini_schema import bad_argument, check_fields
from gateway.sandbox.seals import from_base64, opened

_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
_PART = frozenset((*_DATA, "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"))
_CALL = frozenset(("name", "args", "id"))
_RESPONSE = frozenset(("name", "response", "id", "parts", "willContinue", "scheduling"))
_STRUCT = "(type.googleapis.com/google.protobuf.Struct)"
# The vendor lets this pass in place of a signature that another model never gave.
_NO_SIGNATURE = "skip_thought_signature_validator"

Content = tuple[str, list[dict[str, Any]]]


def read_contents(given: Any) -> list[Content]:
    """Role and parts of each turn. Raises Refused."""
    if not given:
        raise bad_argument("* GenerateContentRequest.contents: contents is not specified\n")
    listed = given if isinstance(given, list) else [given]
    contents = [_content(one, at) for at, one in enumerate(listed)]
    for at, (role, _) in enumerate(contents):
        if role != ("user", "model")[at % 2]:
            raise bad_argument(
                "Please ensure that multiturn requests alternate between user and model, beginning with user."
            )
    for turn, answer in zip(contents, [*contents[1:], None], strict=True):
        _check_calls(turn, answer)
    if any("functionResponse" in part for part in contents[0][1]):
        raise bad_argument("Please ensure that function response turn comes immediately after a function call turn.")
    return contents


def _content(content: Any, at: int) -> Content:
    fields = check_fields(content, frozenset(("role", "parts")), f"contents[{at}]")
    role = fields.get("role", "user")
    if role not in ("user", "model"):
        raise bad_argument("Please use a valid role: user, model.")
    return role, read_parts(fields.get("parts"), f"contents[{at}]")


def read_parts(given: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        raise bad_argument(f"* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n")
    return [_part(part, f"{place}.parts[{at}]") for at, part in enumerate(given)]


def _part(given: Any, place: str) -> dict[str, Any]:
    part = check_fields(given, _PART, place)
    data = [name for name in _DATA if name in part]
    if len(data) != 1:
        raise bad_argument(
            f"* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field"
        )
    if "text" in part and not isinstance(part["text"], str):
        raise bad_argument(f"Invalid value at '{place}.text' (TYPE_STRING)")
    if "functionCall" in part:
        part["functionCall"] = _named(part["functionCall"], _CALL, "args", f"{place}.function_call")
    if "functionResponse" in part:
        response = _named(part["functionResponse"], _RESPONSE, "response", f"{place}.function_response")
        if "response" not in response:
            raise bad_argument(f"* GenerateContentRequest.{place}.function_response.response: cannot be empty")
        part["functionResponse"] = response
    if "inlineData" in part:
        _check_data(part["inlineData"], f"{place}.inline_data")
    if "thoughtSignature" in part:
        _check_signature(part["thoughtSignature"], place)
    return part


def _named(given: Any, known: frozenset[str], struct: str, place: str) -> dict[str, Any]:
    fields = check_fields(given, known, place)
    if not isinstance(fields.get("name"), str) or not fields["name"]:
        raise bad_argument(f"* GenerateContentRequest.{place}.name: Name cannot be empty.")
    if not isinstance(fields.get(struct, {}), dict):
        raise bad_argument(f"Invalid value at '{place}.{struct}' {_STRUCT}")
    return fields


def _check_data(given: Any, place: str) -> None:
    data = check_fields(given, frozenset(("mimeType", "data", "displayName")), place)
    if not data.get("mimeType"):
        raise bad_argument(f"* GenerateContentRequest.{place}.mime_type: must be set")
    if from_base64(data.get("data")) is None:
        raise bad_argument(f"Invalid value at '{place}.data' (TYPE_BYTES), Base64 decoding failed")


def _check_signature(signature: Any, place: str) -> None:
    raw = from_base64(signature)
    if raw is None:
        raise bad_argument(f"Invalid value at '{place}.thought_signature' (TYPE_BYTES), Base64 decoding failed")
    if signature != _NO_SIGNATURE and raw.decode("latin-1") != _NO_SIGNATURE and opened(raw) is None:
        raise bad_argument("Corrupted thought signature.")


def _check_calls(turn: Content, answer: Content | None) -> None:
    """The calls of a model's turn are answered in the next one: as many, by the same names."""
    role, parts = turn
    called = [part["functionCall"] for part in parts if "functionCall" in part]
    answered = [part["functionResponse"] for part in answer[1] if "functionResponse" in part] if answer else []
    if role == "user":
        if called:
            raise bad_argument(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        return
    if len(called) != len(answered):
        raise bad_argument(
            "Please ensure that the number of function response parts is equal to the number of function call parts "
            "of the function call turn."
        )
    if Counter(one["name"] for one in called) != Counter(one["name"] for one in answered):
        raise bad_argument("Please ensure that each function response has the name of its function call.")
