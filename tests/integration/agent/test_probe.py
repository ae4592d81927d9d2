"""Whether a CLI can run here: only the file decides, never what it says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from internal.agent.claude import ClaudeCode
from internal.agent.demo import Demo
from internal.agent.probe import PROBE_SECONDS

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def script(path: Path, source: str) -> str:
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{source}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("source", "version"),
    [
        ("echo '2.1.328 (Claude Code)'", "2.1.328"),
        ("echo mock-claude v0.3", "0.3"),
        ("echo no number", None),
        ("exit 2", None),
        ('cat; echo \'{"version": "1.2.3"}\'', None),
        ("yes", None),
        ("head -c 100000 /dev/zero; echo 1.2.3", None),
    ],
)
async def test_an_executable_file_is_available_whatever_it_says(
    tmp_path: Path, source: str, version: str | None
) -> None:
    """Its version may be unknown; stdin is empty, so one that reads it does not wait."""
    program = script(tmp_path / "agent", source)

    probe = await ClaudeCode().probe(program, ENVIRONMENT)

    assert (probe.available, probe.version, probe.executable) == (True, version, program)


async def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    """And killed; it counts as available."""
    program = script(tmp_path / "agent", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    started = time.monotonic()

    probe = await ClaudeCode().probe(program, ENVIRONMENT)

    assert (probe.available, probe.version) == (True, None)
    assert time.monotonic() - started >= PROBE_SECONDS
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_what_is_no_program_at_all_is_available_if_executable(tmp_path: Path) -> None:
    """The run will say what is wrong with it."""
    program = tmp_path / "agent"
    program.write_bytes(b"\x00\x01 no program")
    program.chmod(0o755)

    assert (await ClaudeCode().probe(str(program), ENVIRONMENT)).available


async def test_a_missing_or_plain_file_is_unavailable_with_a_reason(tmp_path: Path) -> None:
    """The reason is for a person."""
    plain = tmp_path / "plain"
    plain.touch()

    missing = await ClaudeCode().probe(str(tmp_path / "none"), ENVIRONMENT)
    refused = await ClaudeCode().probe(str(plain), ENVIRONMENT)
    directory = await ClaudeCode().probe(str(tmp_path), ENVIRONMENT)
    nowhere = await ClaudeCode().probe(None, {"PATH": str(tmp_path)})

    assert not any((missing.available, refused.available, directory.available, nowhere.available))
    assert "does not exist" in str(missing.reason)
    assert "not an executable file" in str(refused.reason)
    assert "not an executable file" in str(directory.reason)
    assert nowhere.reason == "claude is not on PATH"


async def test_a_program_is_found_on_path(tmp_path: Path) -> None:
    """Of the environment given, not of ours."""
    program = script(tmp_path / "claude", "echo 1.2.3")

    probe = await ClaudeCode().probe(None, {"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert (probe.executable, probe.version) == (program, "1.2.3")


async def test_the_demo_agent_is_always_there() -> None:
    """It needs nothing but the Python we run on."""
    assert (await Demo().probe(None, ENVIRONMENT)).available
