"""The demo's repository: made by plain git, without the user's own git settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_GIT_SECONDS = 30
_README = "# Greetings\n\nA small repository to try CodeForge on.\n"


class DemoFailed(Exception):  # noqa: N818 -- says what is the case
    """The demo did not show what it promises; the message says what went wrong."""


def make_repository(path: Path) -> None:
    """
    A repository with one commit on `main`.

    Raises:
        DemoFailed: git is missing or refused.
    """
    path.mkdir()
    path.joinpath("README.md").write_text(_README, encoding="utf-8")
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    _git(path, "init", "--quiet", "--initial-branch=main")
    _git(path, "add", "README.md")
    _git(path, *identity, "commit", "--quiet", "--message", "First")


def _git(path: Path, *arguments: str) -> None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            (shutil.which("git") or "git", *arguments),
            cwd=path,
            env=environment,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DemoFailed(f"git cannot be run: {error}") from error
    if done.returncode:
        raise DemoFailed(f"git failed: {done.stderr.decode(errors='replace').strip()}")
