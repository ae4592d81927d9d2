"""
Programs that speak the demo agent's lines, for `cli.demo.path`: what the demo agent itself will not
do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from internal.agent import demo_program

_HEAD = f"#!{sys.executable} -IS\nimport json, os, signal, sys\n"
_PROBED = 'if sys.argv[1:] == ["--version"]: sys.exit()'
_QUICK = """
sys.stdin.buffer.read()
with open("quick.txt", "w") as file:
    file.write("quick\\n")
print(json.dumps({"type": "text", "text": "quick"}))
print(json.dumps({"type": "result", "text": "quick", "is_error": False}))
"""
_POISON = f"""
prompt = sys.stdin.buffer.read()
if b"poison" in prompt:
    stat = open(f"/proc/{{os.getppid()}}/stat").read()
    os.kill(int(stat.rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
    signal.pause()
reading, writing = os.pipe()
os.write(writing, prompt)
os.close(writing)
os.dup2(reading, 0)
os.execv({sys.executable!r}, [{sys.executable!r}, "-IS", {demo_program.__file__!r}, *sys.argv[1:]])
"""


def quick_cli(directory: Path) -> str:
    """An agent that does the same small thing at once, whatever it is told."""
    return _write(directory / "quick-cli", _QUICK)


def poison_cli(directory: Path) -> str:
    """The demo agent, but a prompt with `poison` in it kills the worker: the shim's parent."""
    return _write(directory / "poison-cli", _POISON)


def shell_cli(directory: Path, script: str) -> str:
    """An agent that is a shell script; what it is told it does not read."""
    probed = '[ "$1" = --version ] && exit\n'
    return _install(directory / "shell-cli", f"#!/bin/sh\n{probed}{script}\n")


def _write(path: Path, source: str) -> str:
    return _install(path, f"{_HEAD}{_PROBED}{source}")


def _install(path: Path, source: str) -> str:
    path.write_text(source)
    path.chmod(0o755)
    return str(path)
