"""`codeforge config show`, and how the command line ends when the settings are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LISTED = ("up", "serve", "worker", "demo", "doctor", "task", "config", "version")


def test_the_effective_settings_are_shown(tmp_path: Path) -> None:
    """
    Each key with its value and its source, as text for people and as JSON for programs.
    """
    variables = {"CODEFORGE_SERVER__PORT": "9000", "CODEFORGE_SERVER__AUTH_TOKEN": "hunter22"}

    text = _codeforge(tmp_path, "config", "show", **variables)
    rows = json.loads(_codeforge(tmp_path, "config", "show", "--json", **variables).stdout)

    assert text.returncode == 0
    assert "hunter22" not in text.stdout
    (port,) = [line for line in text.stdout.splitlines() if line.startswith("server.port ")]
    assert port.split() == ["server.port", "=", "9000", "#", "CODEFORGE_SERVER__PORT"]
    assert {"path": "server.port", "value": 9000, "source": "CODEFORGE_SERVER__PORT"} in rows


def test_wrong_settings_end_a_command_with_one_message(tmp_path: Path) -> None:
    """
    Exit code 2 and the complaints; never a traceback.
    """
    ended = _codeforge(tmp_path, "config", "show", CODEFORGE_SERVER__PRT="1")

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "codeforge: The settings cannot be used:\n"
        "  server.prt: is not a setting; did you mean server.port? (in CODEFORGE_SERVER__PRT)\n"
    )


def test_help_lists_every_command_without_loading_one(tmp_path: Path) -> None:
    """
    The overview is quick: it imports neither Redis nor HTTP nor the settings.
    """
    program = (
        "import sys\n"
        "from codeforge.cli import app\n"
        "try: app(['--help'])\n"
        "finally: print([m for m in ('redis', 'uvicorn', 'dynaconf') if m in sys.modules])"
    )

    shown = _run(tmp_path, [sys.executable, "-c", program])

    assert shown.stdout.splitlines()[-1] == "[]"
    assert all(f" {name} " in shown.stdout for name in LISTED)


def test_a_misspelt_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """
    Exit code 2, like any wrong usage.
    """
    ended = _codeforge(tmp_path, "tsk")

    assert ended.returncode == 2
    assert "task" in ended.stderr


def _codeforge(cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return _run(cwd, [sys.executable, "-m", "codeforge", *arguments], **variables)


def _run(cwd: Path, argv: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(cwd), "TERM": "dumb", "COLUMNS": "100", **variables}
    return subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
