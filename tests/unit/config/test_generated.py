"""Secrets made once, also when several processes start at the same moment."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from internal.config.error import SettingsError
from internal.config.generated import ensure_secret, read_secret

MAKE = """
import sys
from pathlib import Path
from internal.config.generated import ensure_secret
from internal.ids import random_token
sys.stdin.read()
print(*ensure_secret(Path(sys.argv[1]), random_token))
"""


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """
    The second start finds what the first one made.
    """
    file = tmp_path / "secrets" / "token"

    assert ensure_secret(file, lambda: "first") == ("first", True)
    assert ensure_secret(file, lambda: "second") == ("first", False)
    assert read_secret(file) == "first"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """
    The file is private from its first moment, and nothing else is left beside it.
    """
    file = tmp_path / "secrets" / "token"
    ensure_secret(file, lambda: "first")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    """
    Two processes with different secrets could not read each other's tasks.
    """
    file = tmp_path / "secrets" / "token"
    command = [sys.executable, "-c", MAKE, str(file)]
    starters = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    for starter in starters:
        assert starter.stdin
        starter.stdin.close()
        starter.stdin = None
    shown = [starter.communicate(timeout=60)[0].split() for starter in starters]

    assert len({value for value, _ in shown}) == 1
    assert sorted(created for _, created in shown) == ["False", "False", "False", "True"]
    assert list(file.parent.iterdir()) == [file]


def test_an_empty_file_is_not_a_secret(tmp_path: Path) -> None:
    """
    A damaged file stops the start with its name, instead of leaving the service open.
    """
    file = tmp_path / "token"
    file.touch()

    with pytest.raises(SettingsError, match="token"):
        ensure_secret(file, lambda: "first")
