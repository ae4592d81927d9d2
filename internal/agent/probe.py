"""
Finds a CLI's program and asks it for its version.

The version is for people. A program that hangs, fails or prints nonsense at `--version` may still
run tasks, so only a missing or unexecutable file makes an agent unavailable.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from internal.agent.model import Probe
from internal.process.command import run_command
from internal.process.errors import CommandTimedOut, StartFailed

PROBE_SECONDS = 5.0

_OUTPUT_BYTES = 4096
_VERSION = re.compile(r"(?:^|[\s/@v-])(\d+\.\d+(?:\.\d+)?[0-9A-Za-z.+-]*)")


def find_executable(program: str, environment: Mapping[str, str]) -> str | None:
    """The path of *program*: itself when it has a slash, else by the PATH of *environment*."""
    if "/" not in program:
        return shutil.which(program, path=environment.get("PATH"))
    path = Path(program).expanduser().absolute()
    return str(path) if path.is_file() and os.access(path, os.X_OK) else None


async def probe_program(
    program: str, environment: Mapping[str, str], *, product: bytes = b""
) -> Probe:
    """
    Whether *program* can be started, and its version when it tells one within 5 seconds.

    *product* is what only the CLI itself says there. It runs in an empty place: nothing but
    *environment*, an empty stdin, the root as its directory.
    """
    executable = find_executable(program, environment)
    if executable is None:
        return Probe(available=False, reason=_why_not(program))
    said = await _said(executable, environment)
    return Probe(
        available=True,
        version=_version_in(said),
        executable=executable,
        is_genuine=product != b"" and product in said,
    )


def _why_not(program: str) -> str:
    if "/" not in program:
        return f"{program} is not on PATH"
    if not Path(program).expanduser().exists():
        return f"{program} does not exist"
    return f"{program} is not an executable file"


async def _said(executable: str, environment: Mapping[str, str]) -> bytes:
    """What it prints at `--version`."""
    try:
        answer = await run_command(
            (executable, "--version"),
            environment=environment,
            cwd=Path("/"),
            timeout_seconds=PROBE_SECONDS,
            max_output_bytes=_OUTPUT_BYTES,
        )
    except (CommandTimedOut, StartFailed):
        return b""
    return answer.stdout


def _version_in(output: bytes) -> str | None:
    line = output.decode(errors="replace").strip().partition("\n")[0]
    if line.startswith(("{", "[")):  # it took no notice of --version and ran
        return None
    found = _VERSION.search(line[:200])
    return found.group(1) if found else None
