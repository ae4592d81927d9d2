"""
The process zoo: small programs that misbehave as real agents and their tools have been seen to do.

Each is Python source for an interpreter of its own. Everything one starts inherits the run's
marker, so `survivors` finds it wherever it hides.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIMIT_SECONDS = 30.0
"""For facts that come within milliseconds on a machine with nothing else to do."""

_DAEMON = """
def daemon(*, keep_stdout):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if not keep_stdout:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)
"""

_ANIMALS = {
    # Prints its arguments' lines and ends with the status it was told.
    "parrot": "status, *lines = sys.argv[1:]\nfor line in lines: say(line)\nsys.exit(int(status))",
    "cat": "sys.stdout.buffer.write(sys.stdin.buffer.read())",
    "sleeper": "say('ready')\ntime.sleep(600)",
    "polite": """
def leave(number, frame):
    say(f"got {signal.Signals(number).name}")
    sys.exit(7)
signal.signal(getattr(signal, sys.argv[1]), leave)
if sys.argv[1] == "SIGTERM":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
say("ready")
while True:
    time.sleep(60)
""",
    "stubborn": """
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
say("ready")
while True:
    time.sleep(60)
""",
    # Leaves a daemon of another session behind, and ends or stays.
    "breeder": """
daemon(keep_stdout=False)
say("ready")
if sys.argv[1] == "stay":
    time.sleep(600)
""",
    "holder": "daemon(keep_stdout=True)\nsay('ready')",
    # Many processes, half of them in sessions of their own; a token each bounds the bomb.
    "bomb": """
count = int(sys.argv[1])
tokens, give = os.pipe()
os.write(give, b"x" * count)
os.close(give)
say("ready")
while os.read(tokens, 1):
    if os.fork() == 0 and os.getpid() % 2:
        os.setsid()
time.sleep(600)
""",
    # As soon as one head is cut off, another grows.
    "hydra": """
say("ready")
def grow():
    while True:
        child = os.fork()
        if child == 0:
            time.sleep(600)
        os.waitpid(child, 0)
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        grow()
grow()
""",
    "flood": """
block = (b"x" * 1023 + b"\\n") * 64
for _ in range(int(sys.argv[1]) // len(block)):
    sys.stdout.buffer.write(block)
""",
    "long_line": """
sys.stdout.buffer.write(b"a" * int(sys.argv[1]) + b"\\n")
say("after")
""",
    "raw": "os.write(1, bytes.fromhex(sys.argv[1]))\nos.write(2, bytes.fromhex(sys.argv[2]))",
    "mute": """
say("last words")
os.close(1)
os.close(2)
time.sleep(600)
""",
    "suicide": "os.kill(os.getpid(), getattr(signal, sys.argv[1]))",
    # Kills or stops its own shim, with a daemon running.
    "parricide": """
daemon(keep_stdout=False)
say("ready")
os.kill(os.getppid(), getattr(signal, sys.argv[1]))
time.sleep(600)
""",
    # Attacks the process above it in every way.
    "patricide": """
for number in set(signal.Signals) - {signal.SIGCHLD, signal.SIGCONT}:
    os.kill(os.getppid(), number)
say("ready")
time.sleep(600)
""",
    # A daemon that carries nothing of the run but an open file.
    "nameless": """
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
if os.fork() == 0:
    os.setsid()
    os.set_inheritable(file, True)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.execve("/bin/sleep", ["sleep", "600"], {})
os.close(file)
while b"sleep" not in open(f"/proc/{os.getpid() + 1}/cmdline", "rb").read():
    time.sleep(0.01)
say("ready")
time.sleep(600)
""",
    # Counts up in a file, so that others see whether it runs.
    "counter": """
def count(path):
    number = 0
    while True:
        number += 1
        os.write(path, b".")
        time.sleep(0.01)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
if os.fork() == 0:
    os.setsid()
    count(file)
say("ready")
count(file)
""",
    "environment": "for name, value in sorted(os.environ.items()): say(f'{name}={value}')",
    "limits": """
import resource
say(resource.getrlimit(resource.RLIMIT_NOFILE))
say(resource.getrlimit(resource.RLIMIT_CORE))
say(open("/proc/self/oom_score_adj").read().strip())
say(sorted(os.listdir("/proc/self/fd")))
say(os.getsid(0) == os.getpid())
""",
}


def animal(name: str, *arguments: object) -> list[str]:
    """The argv that runs one of the zoo."""
    head = "import os, signal, sys, time\ndef say(line): os.write(1, f'{line}\\n'.encode())\n"
    source = head + _DAEMON + _ANIMALS[name]
    return [sys.executable, "-I", "-S", "-c", source, *map(str, arguments)]


def survivors(marker: str) -> list[str]:
    """Every live process that carries *marker*, as `pid: command line`."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            if f"CODEFORGE_RUN={marker}".encode() in variables:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{entry.name}: {command.decode(errors='replace')[:200]}")
        except OSError:  # it ended while we looked
            continue
    return found


def process_state(pid: int) -> str:
    """The state letter of `/proc/<pid>/stat` (R S D T Z), empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


async def eventually(fact: Callable[[], object], what: str) -> None:
    """Look every 10 ms until *fact* holds; AssertionError with *what* when it never does."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not fact():
        assert time.monotonic() < limit, f"never: {what}"
        await asyncio.sleep(0.01)
