"""
A scripted stand-in for the Anthropic Messages API, so that the real Claude Code runs on loopback.

The prompt carries its script, so tests share nothing: `scripted("do it", {"shell": "true"},
{"text": "done"})`. The server keeps no session; the step is found by counting the tool calls behind
the newest prompt in each request, so retries and resumed sessions just work. The last step repeats.

A step is one of
    {"text": "..."}                         a final answer
    {"shell": "command"}                    a call of the client's Bash tool
    {"tool": "Name", "input": {...}}        a call of any tool
and may add
    "say", "thinking"                       text or a reasoning block before the call
    "usage": {"input": 1000, "output": 50, "cached": 0, "cache_write": 0}
    "status": 429, "retry_after": 1, "message": "..."     an HTTP error instead
    "hang": seconds                         open the stream, then send nothing for so long
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import Any, Self, cast

Json = dict[str, Any]

_MARK = "%%fake "
_DEFAULT: list[Json] = [{"text": "done"}]
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.S)
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def scripted(prompt: str, *steps: Json) -> str:
    """*prompt* with the script that the server follows for it."""
    return f"{prompt}\n{_MARK}{json.dumps(steps)}"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """
    What a client asked: the key it sent, the newest prompt, how often it was prompted, and all of
    it.
    """

    key: str
    prompt: str
    prompts: int
    step: int
    body: str = field(repr=False)


class FakeLlm:
    """Serves in a thread while its context is open; `calls` lists what was asked, oldest first."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []
        self.closing = threading.Event()
        self._ids = count(1)
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """For ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def next_id(self, prefix: str) -> str:
        """An identifier that was not given before."""
        return f"{prefix}_fake{next(self._ids):06d}"


@dataclass(slots=True)
class _Conversation:
    """The script that a request carries, and the step it has reached."""

    script: list[Json] = field(default_factory=lambda: _DEFAULT)
    prompt: str = ""
    prompts: int = 0
    done: int = 0

    @classmethod
    def read(cls, body: Json) -> Self:
        found = cls()
        for message in cast("list[Json]", body.get("messages", [])):
            found._add(str(message.get("role")), _blocks(message))
        return found

    @property
    def step(self) -> int:
        return min(self.done, len(self.script) - 1)

    def _add(self, role: str, blocks: list[Json]) -> None:
        kinds = {block.get("type") for block in blocks}
        texts = [str(block.get("text", "")) for block in blocks if block.get("type") == "text"]
        text = _REMINDER.sub("", "\n".join(texts)).strip()
        if role == "assistant":
            self.done += "tool_use" in kinds
        elif role == "user" and text and "tool_result" not in kinds:
            self.prompt, self.prompts, self.done = text, self.prompts + 1, 0
            self.script = _script_in(text) or _DEFAULT


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return cast("list[Json]", content or [])


def _script_in(text: str) -> list[Json] | None:
    _, mark, tail = text.rpartition(_MARK)
    return cast("list[Json]", json.JSONDecoder().raw_decode(tail)[0]) if mark else None


def _message(step: Json, body: Json, llm: FakeLlm) -> Json:
    blocks: list[Json] = []
    if "thinking" in step:
        blocks.append({"type": "thinking", "thinking": step["thinking"], "signature": "ZmFrZQ=="})
    if text := step.get("text") or step.get("say"):
        blocks.append({"type": "text", "text": text})
    call = _tool_call(step)
    if call:
        blocks.append({"type": "tool_use", "id": llm.next_id("toolu"), **call})
    return {
        "id": llm.next_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "fake"),
        "content": blocks,
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": _usage(step),
    }


def _tool_call(step: Json) -> Json | None:
    if "shell" in step:
        given = {"command": step["shell"], "description": "scripted", **step.get("input", {})}
        return {"name": "Bash", "input": given}
    return {"name": step["tool"], "input": step.get("input", {})} if "tool" in step else None


def _usage(step: Json) -> Json:
    used = cast(Json, step.get("usage", {}))
    return {
        "input_tokens": used.get("input", 100),
        "output_tokens": used.get("output", 10),
        "cache_read_input_tokens": used.get("cached", 0),
        "cache_creation_input_tokens": used.get("cache_write", 0),
    }


def _stream_events(message: Json) -> Iterator[Json]:
    """The events of a streamed answer, as the API documents them."""
    opening: Json = {**message, "content": [], "stop_reason": None}
    opening["usage"] = {**message["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(cast("list[Json]", message["content"])):
        start, deltas = _block_events(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ending, "usage": message["usage"]}
    yield {"type": "message_stop"}


def _block_events(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            thinking = {"type": "thinking_delta", "thinking": block["thinking"]}
            return {**block, "thinking": "", "signature": ""}, [thinking, signature]
        case _:
            given = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            return {**block, "input": {}}, [given]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], llm: FakeLlm) -> None:
        super().__init__(address, _Handler)
        self.llm = llm

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in mid-answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _llm(self) -> FakeLlm:
        return cast(_Server, self.server).llm

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(404, _error_body(404, "no such path"))

    def do_POST(self) -> None:
        body = cast(Json, json.loads(self.rfile.read(int(self.headers["content-length"]))))
        if self.path.partition("?")[0].endswith("/count_tokens"):
            self._answer(200, {"input_tokens": 1})
            return
        asked = _Conversation.read(body)
        key = self.headers["x-api-key"] or self.headers["authorization"] or ""
        self._llm.calls.append(
            ModelCall(key, asked.prompt, asked.prompts, asked.step, json.dumps(body))
        )
        self._follow(asked.script[asked.step], body)

    def _follow(self, step: Json, body: Json) -> None:
        if status := step.get("status"):
            self._answer(status, _error_body(status, step.get("message", "scripted")), step)
        elif body.get("stream"):
            self._stream(_message(step, body, self._llm), float(step.get("hang", 0)))
        else:
            self._llm.closing.wait(float(step.get("hang", 0)))
            self._answer(200, _message(step, body, self._llm))

    def _answer(self, status: int, value: Json, step: Json | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        if step and "retry_after" in step:
            self.send_header("retry-after", str(step["retry_after"]))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _stream(self, message: Json, hang_seconds: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")  # so the end of the answer needs no length
        self.end_headers()
        for event in _stream_events(message):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            if event["type"] == "message_start" and hang_seconds:
                self._llm.closing.wait(hang_seconds)
        self.close_connection = True


def _error_body(status: int, message: str) -> Json:
    kind = _ERRORS.get(status, "not_found_error")
    return {"type": "error", "error": {"type": kind, "message": message}}
