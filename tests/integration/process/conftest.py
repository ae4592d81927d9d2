"""
Every test here runs on asyncio's loop and on uvloop, and may leave no process behind.

Those that take `make_spec` run once more with the agent in a sandbox, on uvloop only.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvloop

from internal.process.isolation import NOT_WANTED, Isolation
from internal.process.spec import ProcessSpec
from tests.support.isolation import need_sandbox
from tests.support.zoo import survivors


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop is enough to see that an agent behaves in a sandbox as it does outside."""
    items[:] = [item for item in items if not {"asyncio", "bwrap"} <= _words(item)]


class MakeSpec(Protocol):
    """A spec for *argv*, with what else a test cares about."""

    def __call__(self, argv: Sequence[str], **changes: Any) -> ProcessSpec: ...


@pytest.fixture
def marker() -> Generator[str]:
    """A run's own marker; the rule of this package is checked when the test is over."""
    marker = f"zoo.{os.getpid()}.1.{secrets.token_hex(8)}"
    yield marker
    assert survivors(marker) == []


@pytest.fixture(params=["none", "bwrap"])
async def isolation(request: pytest.FixtureRequest, tmp_path: Path) -> Isolation:
    """What stands between the agent and the machine."""
    return await need_sandbox(tmp_path) if request.param == "bwrap" else NOT_WANTED


@pytest.fixture
def make_spec(marker: str, tmp_path: Path, isolation: Isolation) -> MakeSpec:
    def make(argv: Sequence[str], **changes: Any) -> ProcessSpec:
        settings: dict[str, Any] = {
            "environment": {"PATH": os.environ["PATH"]},
            "cwd": tmp_path,
            "run_marker": marker,
            "launcher": isolation.launcher(),
        }
        return ProcessSpec(argv=argv, **(settings | changes))

    return make


def _words(item: pytest.Item) -> set[str]:
    return set(item.name.partition("[")[2].rstrip("]").split("-"))
