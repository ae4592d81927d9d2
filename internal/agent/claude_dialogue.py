"""
How to speak to Claude Code while it runs, as far as its lines allow.

From some version on, `system/init` names a capability, and `command_lifecycle` lines tell of each
message with a `uuid` when the model gets it: 2.1.328 does, 2.1.197 does not. Without them nobody
knows whether a message was heard, so such a program is not spoken to.
"""

from __future__ import annotations

import json

from internal.agent.jsonline import as_list, as_text
from internal.agent.model import Json

_CONFIRMS = "msg_lifecycle_v1"
_TAKEN_UP = frozenset({"started", "completed"})
_INTERRUPT: Json = {
    "type": "control_request",
    "request_id": "interrupt",
    "request": {"subtype": "interrupt"},
}


def message_line(text: str, identity: str | None = None) -> bytes:
    """A user's message as a line of its `stream-json` input."""
    message: Json = {
        "type": "user",
        "message": {"role": "user", "content": [{"type": "text", "text": text}]},
    }
    if identity is not None:
        message["uuid"] = identity
    return json.dumps(message).encode() + b"\n"


class ClaudeDialogue:
    """See `base.Dialogue`."""

    def __init__(self) -> None:
        self.is_open = False
        self.is_over = False
        self.confirms = False
        self.heard: list[str] = []
        self._said: set[str] = set()

    def take(self, line: Json) -> None:
        """Note what a decoded line says of the dialogue."""
        match line.get("type"), line.get("subtype"):
            case "system", "init":
                self.confirms = _CONFIRMS in as_list(line.get("capabilities"))
                self.is_open = self.confirms and not self.is_over
                self.is_over = not self.is_open
            case "command_lifecycle", _:
                self._confirm(as_text(line.get("command_uuid")), as_text(line.get("state")))
            case "result", _:
                self.give_up()
            case "assistant", _ if not self.is_open:
                self.give_up()
            case _:
                pass

    def say(self, directive: str, text: str) -> bytes:
        """See `base.Dialogue`."""
        self._said.add(directive)
        return message_line(text, directive)

    def interrupt(self) -> bytes:
        """See `base.Dialogue`."""
        return json.dumps(_INTERRUPT).encode() + b"\n"

    def give_up(self) -> None:
        """See `base.Dialogue`."""
        self.is_open, self.is_over = False, True

    def _confirm(self, identity: str, state: str) -> None:
        if identity in self._said and state in _TAKEN_UP and identity not in self.heard:
            self.heard.append(identity)
