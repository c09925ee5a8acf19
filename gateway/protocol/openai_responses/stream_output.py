"""The events of one output item each: opened, filled, closed."""

from __future__ import annotations

from typing import Any

from gateway.protocol.conversation import Citation, Reasoning, ToolCall
from gateway.protocol.json_text import dump
from gateway.protocol.openai_responses.content import write_citation
from gateway.protocol.openai_responses.output import Item, call_item, message_item, refusal_part, text_part
from gateway.protocol.openai_responses.reasoning import write_item
from gateway.protocol.reply import SignatureDelta
from gateway.protocol.sse import encode_event


class EventWriter:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, kind: str, **fields: Any) -> bytes:
        body = {"type": f"response.{kind}", "sequence_number": self._number, **fields}
        self._number += 1
        return encode_event(dump(body), f"response.{kind}")


class _Output:
    """What all items share. ``item`` is the whole item once it is closed."""

    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        self._writer = writer
        self._id = item_id
        self.index = index
        self.item: Item = {}

    def _write(self, kind: str, **fields: Any) -> bytes:
        return self._writer.write(kind, item_id=self._id, output_index=self.index, **fields)

    def _added(self, item: Item) -> bytes:
        return self._writer.write("output_item.added", output_index=self.index, item=item)

    def _closed(self, item: Item) -> bytes:
        self.item = item
        return self._writer.write("output_item.done", output_index=self.index, item=item)


class MessageOutput(_Output):
    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        super().__init__(writer, item_id, index)
        self._content: list[Item] = []
        self._open = ""  # "output_text", "refusal", or "" when no part is open
        self._text = ""
        self._citations: list[Citation] = []

    def open(self) -> bytes:
        return self._added(message_item(self._id, [], "in_progress"))

    def text(self, text: str) -> bytes:
        opening = self._open_part("output_text", text_part(""))
        self._text += text
        place = len(self._content)
        return opening + self._write("output_text.delta", content_index=place, delta=text, logprobs=[])

    def refusal(self, text: str) -> bytes:
        opening = self._open_part("refusal", refusal_part(""))
        self._text += text
        return opening + self._write("refusal.delta", content_index=len(self._content), delta=text)

    def cite(self, citation: Citation) -> bytes:
        """A source of the open text; there is none for what is no web page."""
        annotation = write_citation(citation, self._text)
        if self._open != "output_text" or annotation is None:
            return b""
        number = len(self._citations)
        self._citations.append(Citation(citation.url, citation.title, "", *_place(annotation)))
        place = len(self._content)
        return self._write(
            "output_text.annotation.added", content_index=place, annotation_index=number, annotation=annotation
        )

    def close(self, status: str) -> bytes:
        closing = self._close_part()
        return closing + self._closed(message_item(self._id, self._content, status))

    def _open_part(self, kind: str, part: Item) -> bytes:
        if self._open == kind:
            return b""
        closing = self._close_part()
        self._open = kind
        return closing + self._write("content_part.added", content_index=len(self._content), part=part)

    def _close_part(self) -> bytes:
        if not self._open:
            return b""
        place = len(self._content)
        if self._open == "output_text":
            part = text_part(self._text, self._citations)
            done = self._write("output_text.done", content_index=place, text=self._text, logprobs=[])
        else:
            part = refusal_part(self._text)
            done = self._write("refusal.done", content_index=place, refusal=self._text)
        self._content.append(part)
        self._open, self._text, self._citations = "", "", []
        return done + self._write("content_part.done", content_index=place, part=part)


def _place(annotation: Item) -> tuple[int, int]:
    return annotation["start_index"], annotation["end_index"]


class ReasoningOutput(_Output):
    """Thoughts are told as one part of a summary: that is what clients of this dialect show."""

    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        super().__init__(writer, item_id, index)
        self._text = ""

    def open(self) -> bytes:
        return self._added({"id": self._id, "type": "reasoning", "summary": []})

    def text(self, text: str) -> bytes:
        opening = b""
        if not self._text:
            part = {"type": "summary_text", "text": ""}
            opening = self._write("reasoning_summary_part.added", summary_index=0, part=part)
        self._text += text
        return opening + self._write("reasoning_summary_text.delta", summary_index=0, delta=text)

    def close(self, signed: SignatureDelta | None = None) -> bytes:
        closing = b""
        if self._text:
            part = {"type": "summary_text", "text": self._text}
            closing = self._write("reasoning_summary_text.done", summary_index=0, text=self._text)
            closing += self._write("reasoning_summary_part.done", summary_index=0, part=part)
        piece = Reasoning(self._text)
        if signed is not None:
            piece = Reasoning(self._text, signed.signature, signed.redacted, signed.origin, id=signed.id)
        return closing + self._closed(write_item(piece, self._id))


class CallOutput(_Output):
    def __init__(self, writer: EventWriter, item_id: str, index: int, call: ToolCall) -> None:
        super().__init__(writer, item_id, index)
        self._call = call
        self._arguments = ""
        self._kind = "custom_tool_call_input" if call.custom else "function_call_arguments"

    def open(self) -> bytes:
        return self._added(call_item(self._id, self._call, self._call.id, "in_progress"))

    def arguments(self, text: str) -> bytes:
        if not text:
            return b""
        self._arguments += text
        return self._write(f"{self._kind}.delta", delta=text)

    def close(self, status: str) -> bytes:
        call = self._call
        whole = ToolCall(call.id, call.name, self._arguments, custom=call.custom, namespace=call.namespace)
        item = call_item(self._id, whole, call.id, status)
        name = "input" if call.custom else "arguments"
        # An empty object that stands for no arguments is told as a piece as well.
        rest = b"" if self._arguments else self.arguments(item[name])
        return rest + self._write(f"{self._kind}.done", **{name: item[name]}) + self._closed(item)
