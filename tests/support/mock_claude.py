"""
A program in the place of Claude Code: it reads the prompt from stdin and ignores its options.

The prompt says what it does: FAIL, TIMEOUT, EMPTY, or a success with a change and a result line,
none of whose members is there unless it is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python} -IS
import json, os, sys, time

def say(**line):
    print(json.dumps(line), flush=True)

message = json.loads(sys.stdin.readline())
prompt = message["message"]["content"][0]["text"]
if prompt == "FAIL":
    sys.exit("mock: it failed as told")
if prompt == "TIMEOUT":
    time.sleep(600)
if prompt == "EMPTY":
    sys.exit(0)
say(type="system", subtype="init", model="mock-claude")
say(type="assistant", message={{"content": [{{"type": "text", "text": "I work on it."}}]}})
with open("MOCK_CHANGES.md", "a") as file:
    file.write(prompt + "\\n")
usage = {{"input_tokens": 150, "output_tokens": 50}}
say(type="result", subtype="success", result="Did: " + prompt[:100], usage=usage)
"""


def write_mock_claude(path: Path) -> Path:
    """Write the program to *path* and make it executable."""
    path.write_text(_PROGRAM.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return path
