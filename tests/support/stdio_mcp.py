"""
A small MCP server on stdio: one tool, `ping`, that tells what the server was started with.

    python stdio_mcp.py TRACE [ARGUMENT...]

It adds a line to the file TRACE when it starts, so that a test sees a server that was started.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_NO_METHOD = -32601
_NO_INPUT: dict[str, Any] = {"type": "object", "properties": {}}


def main(trace: str, *arguments: str) -> None:
    """Answer requests until stdin ends."""
    with Path(trace).open("a", encoding="utf-8") as file:
        file.write("started\n")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            reply = {"jsonrpc": "2.0", "id": message["id"], **_answer(message, arguments)}
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()


def _answer(message: dict[str, Any], arguments: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any]
    match message["method"]:
        case "initialize":
            found = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "probe", "version": "1"},
            }
        case "tools/list":
            tool = {"name": "ping", "description": "Tells how it began", "inputSchema": _NO_INPUT}
            found = {"tools": [tool]}
        case "tools/call":
            told = {"arguments": arguments, "probe": os.environ.get("PROBE")}
            found = {"content": [{"type": "text", "text": json.dumps(told)}]}
        case unknown:
            return {"error": {"code": _NO_METHOD, "message": f"no method {unknown}"}}
    return {"result": found}


if __name__ == "__main__":
    main(*sys.argv[1:])
