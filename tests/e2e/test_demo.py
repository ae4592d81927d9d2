"""`codeforge demo`: what a newcomer sees first must work, and leave nothing."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.deployment import CODEFORGE, LIMIT_SECONDS, eventually, processes_naming


class Demo:
    """One `codeforge demo`; its temporary files go into a directory of the test."""

    def __init__(self, directory: Path) -> None:
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TMPDIR": str(self.scratch),
            # What the demo must not care for.
            "CODEFORGE_REDIS__URL": "redis://127.0.0.1:9",
            "CODEFORGE_SERVER__PORT": "no-port",
        }

    def start(self, *words: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start it; *output* is its stdin and stdout when it is a terminal."""
        return subprocess.Popen(
            [CODEFORGE, "demo", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL if output == subprocess.PIPE else output,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def left(self) -> list[str]:
        """Its processes and files."""
        files = [str(path) for path in self.scratch.iterdir()]
        return files + processes_naming(str(self.scratch))


@pytest.fixture
def demo(tmp_path: Path) -> Generator[Demo]:
    """A demo that must leave nothing."""
    demo = Demo(tmp_path)
    yield demo
    assert demo.left() == []


def test_it_shows_a_task_from_request_to_result(demo: Demo) -> None:
    """Without a terminal it ends by itself, with 0."""
    process = demo.start()

    output, errors = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 0, (output, errors)
    assert "status      completed" in output
    assert output.count("both signatures are right") == 2
    assert "+def greet(name):" in output
    assert errors == ""


def test_on_a_terminal_it_stays_until_ctrl_c(demo: Demo) -> None:
    """With a command to try, which finds the server."""
    ours, theirs = pty.openpty()
    process = demo.start(output=theirs)
    os.close(theirs)
    seen = b""

    def stays() -> bool:
        nonlocal seen
        seen += os.read(ours, 65_536)
        return b"Ctrl-C" in seen

    eventually(stays, "the demo says that it stays up")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    os.close(ours)

    assert process.returncode == 0, errors
    assert b"/api/docs" in seen


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_any_time(demo: Demo, number: signal.Signals, status: int) -> None:
    """Also while its parts start."""
    process = demo.start()
    eventually(lambda: list(demo.scratch.glob("*/data/redis/lock")), "Redis is started")

    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == status, errors
    assert "Traceback" not in errors


def test_killed_it_leaves_no_process(demo: Demo) -> None:
    """Nobody is left to remove its directory, but its parts end by themselves."""
    process = demo.start()
    eventually(lambda: list(demo.scratch.glob("*/data/server.json")), "the server has started")

    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)

    eventually(lambda: not processes_naming(str(demo.scratch)), "all parts have ended")
    for directory in demo.scratch.iterdir():
        shutil.rmtree(directory)


def test_an_agent_that_is_missing_is_named(demo: Demo) -> None:
    """And nothing is started."""
    process = demo.start("--agent", "claude-code")

    output, errors = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 1
    assert "claude-code" in errors
    assert "Traceback" not in output + errors
