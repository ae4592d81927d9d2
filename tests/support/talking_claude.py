"""
Programs that say they are Claude Code: one that takes input while it runs, one that only looks so.

The first one says what it hears, and confirms it as the real one does. Its prompt is one of: WAIT
(for one directive, then the result), DEAF (a directive is read and never confirmed), LEAVE (end at
once at the first directive). A second prompt is answered at once. An interrupt ends the turn.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HEAD = """#!{python} -IS
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print("2.1.400 (Claude Code)")
    sys.exit()

def say(**line):
    print(json.dumps({{"session_id": SESSION, **line}}), flush=True)

def text(words):
    say(type="assistant", message={{"content": [{{"type": "text", "text": words}}]}})

def result(words, **more):
    usage = {{"input_tokens": 10, "output_tokens": 5}}
    say(type="result", subtype="success", result=words, usage=usage, **more)

SESSION = "11111111-2222-4333-8444-555555555555"
"""

_TALKING = """
def words_of(line):
    return line["message"]["content"][0]["text"]

FILE = os.path.expanduser("~/.claude/projects/-x/" + SESSION + ".jsonl")
os.makedirs(os.path.dirname(FILE), exist_ok=True)
prompt = words_of(json.loads(sys.stdin.readline()))
with open(FILE, "a") as file:
    file.write(prompt + "\\n")
say(type="system", subtype="init", model="m", capabilities=["msg_lifecycle_v1"])
with open("begun.txt", "a") as file:
    file.write("begun\\n")
text("begun " + prompt)
if prompt in ("WAIT", "DEAF", "LEAVE"):
    for raw in sys.stdin:
        line = json.loads(raw)
        if line["type"] == "control_request":
            say(type="control_response", response={"subtype": "success"})
            result("", is_error=True, errors=["interrupted"])
            sys.exit(1)
        if prompt == "LEAVE":
            os._exit(0)
        if prompt == "DEAF":
            break
        say(type="command_lifecycle", command_uuid=line["uuid"], state="queued")
        say(type="command_lifecycle", command_uuid=line["uuid"], state="started")
        text("heard " + words_of(line))
        break
result("done " + prompt)
sys.stdin.read()
"""

_LOOKING = """
prompt = json.loads(sys.stdin.read())["message"]["content"][0]["text"]
say(type="system", subtype="init", model="m")
result("done " + prompt)
"""


def talking_claude(directory: Path) -> str:
    """The path of a program that takes input while it runs, and ends only when stdin does."""
    return _install(directory / "talking-claude", _TALKING)


def looking_claude(directory: Path) -> str:
    """The path of a program that reads its stdin to the end before it says a word."""
    return _install(directory / "looking-claude", _LOOKING)


def _install(path: Path, source: str) -> str:
    path.write_text(_HEAD.format(python=sys.executable) + source, encoding="utf-8")
    path.chmod(0o755)
    return str(path)
