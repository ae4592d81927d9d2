"""Every test here runs on asyncio's loop and on uvloop, and may leave no process behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvloop

from internal.process.spec import ProcessSpec
from tests.support.zoo import survivors


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class MakeSpec(Protocol):
    """A spec for *argv*, with what else a test cares about."""

    def __call__(self, argv: Sequence[str], **changes: Any) -> ProcessSpec: ...


@pytest.fixture
def marker() -> Generator[str]:
    """A run's own marker; the rule of this package is checked when the test is over."""
    marker = f"zoo.{os.getpid()}.1.{secrets.token_hex(8)}"
    yield marker
    assert survivors(marker) == []


@pytest.fixture
def make_spec(marker: str, tmp_path: Path) -> MakeSpec:
    def make(argv: Sequence[str], **changes: Any) -> ProcessSpec:
        settings: dict[str, Any] = {
            "environment": {"PATH": os.environ["PATH"]},
            "cwd": tmp_path,
            "run_marker": marker,
        }
        return ProcessSpec(argv=argv, **(settings | changes))

    return make
