"""
One deployment for all tests of a worker process, with a mock as Claude Code; each test is checked
for what it leaves behind.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest

from codeforge.client import Client
from tests.support.deployment import Deployment, running
from tests.support.mock_claude import write_mock_claude
from tests.support.repos import Repo


@pytest.fixture(scope="session")
def mock_claude() -> Generator[Path]:
    """The path of the mock of Claude Code."""
    with tempfile.TemporaryDirectory(prefix="cf-mock-") as name:
        yield write_mock_claude(Path(name, "claude"))


@pytest.fixture(scope="session")
def shared(mock_claude: Path) -> Generator[Deployment]:
    """Started once; it must end with status 0 and leave nothing."""
    with running({"CODEFORGE_CLI__CLAUDE_CODE__PATH": str(mock_claude)}) as deployment:
        yield deployment


@pytest.fixture
def deployment(shared: Deployment) -> Generator[Deployment]:
    """The shared one; a live task, a process, a key without TTL or a stray file fails the test."""
    yield shared
    asyncio.run(shared.settled())


@pytest.fixture
def client(deployment: Deployment) -> Generator[Client]:
    """Our own client of it."""
    with deployment.client() as client:
        yield client


@pytest.fixture
def http(deployment: Deployment) -> Generator[httpx2.Client]:
    """Plain HTTP with its token."""
    with deployment.http() as http:
        yield http


@pytest.fixture
def repository(deployment: Deployment, request: pytest.FixtureRequest) -> Repo:
    """A bare repository with one commit, of this test alone."""
    name = re.sub(r"\W+", "-", request.node.name)
    repo = Repo(deployment.repositories / f"{name}.git")
    repo.commit({"README.md": "# Test\n"}, message="First")
    return repo
