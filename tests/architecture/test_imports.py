"""The floors hold: who may import whom, and that importing a model costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "pyproject.toml"

in_checkout = pytest.mark.skipif(
    not (ROOT / "internal").is_dir(), reason="the sources are not here; the wheel is under test"
)


def test_every_import_contract_is_kept() -> None:
    """
    Imports go down the floors, models stay pure, stores private: see `[tool.importlinter]`.
    """
    # In a process of its own: it sets up logging, and switches existing loggers off for that.
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--no-logo", "--config", CONTRACTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@in_checkout
def test_package_files_import_nothing() -> None:
    """
    An `__init__.py` is a docstring; one that re-exports would load Redis for whoever wants a model.
    """
    importing = [
        path.relative_to(ROOT)
        for path in sorted((ROOT / "internal").rglob("__init__.py"))
        if any(
            isinstance(node, ast.Import | ast.ImportFrom)
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]

    assert importing == []


@in_checkout
def test_cmd_is_a_folder_and_not_a_package() -> None:
    """
    `cmd/__init__.py` would hide the standard library's `cmd`, and with it `pdb`.
    """
    assert not (ROOT / "cmd" / "__init__.py").exists()


def test_a_model_loads_without_any_framework() -> None:
    """
    Rules and data can be read, tested and reused without Redis, HTTP or logging being there.
    """
    heavy = ("redis", "starlette", "structlog", "httpx2", "dynaconf", "pydantic")
    program = (
        "import sys, internal.task.model, internal.task.state\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert shown.stdout.strip() == "[]"
