"""
A program in the place of Claude Code: it reads the prompt from stdin and ignores its options, but
for the session to resume.

The prompt says what it does: FAIL, TIMEOUT, EMPTY, SPEND N (one answer of the model after another,
each of N output tokens, without an end), TOOL (a tool call without an end), or a success with a
change and a result line, none of whose members is there unless it is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

SPENDING_MODEL = "claude-opus-4-8"
"""Has a price: 25 USD per million of output tokens."""

_PROGRAM = """#!{python} -IS
import json, os, sys, time

def say(**line):
    print(json.dumps(line), flush=True)

def answer(number, tokens, **block):
    usage = {{"input_tokens": 0, "output_tokens": tokens}}
    content = [block or {{"type": "text", "text": "answer %d" % number}}]
    message = {{"id": "msg-%d" % number, "model": "{model}", "usage": usage, "content": content}}
    say(type="assistant", message=message)

def session():
    found = sys.argv[sys.argv.index("--resume") + 1] if "--resume" in sys.argv else "mock-session"
    place = os.path.expanduser("~/.claude/projects/mock")
    if "--resume" not in sys.argv:
        os.makedirs(place, exist_ok=True)
        open(place + "/" + found + ".jsonl", "a").close()
    return found

message = json.loads(sys.stdin.readline())
prompt = message["message"]["content"][0]["text"]
if prompt == "FAIL":
    sys.exit("mock: it failed as told")
if prompt == "TIMEOUT":
    time.sleep(600)
if prompt == "EMPTY":
    sys.exit(0)
if prompt.startswith("SPEND") or prompt == "TOOL":
    say(type="system", subtype="init", model="{model}", session_id=session())
    with open("MOCK_CHANGES.md", "a") as file:
        file.write(prompt + "\\n")
    if prompt == "TOOL":
        answer(1, 1, type="tool_use", id="call-1", name="Bash", input={{"command": "sleep 600"}})
        time.sleep(600)
    for number in range(100_000):
        answer(number, int(prompt.split()[1]))
        time.sleep(0.1)
say(type="system", subtype="init", model="mock-claude")
say(type="assistant", message={{"content": [{{"type": "text", "text": "I work on it."}}]}})
with open("MOCK_CHANGES.md", "a") as file:
    file.write(prompt + "\\n")
usage = {{"input_tokens": 150, "output_tokens": 50}}
say(type="result", subtype="success", result="Did: " + prompt[:100], usage=usage)
"""


def write_mock_claude(path: Path) -> Path:
    """Write the program to *path* and make it executable."""
    program = _PROGRAM.format(python=sys.executable, model=SPENDING_MODEL)
    path.write_text(program, encoding="utf-8")
    path.chmod(0o755)
    return path
