"""
The real Claude Code, both versions we know, in front of a scripted model on loopback, and in a
sandbox where there is one.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from internal.process.isolation import Isolation
from tests.support.agent_place import AgentPlace
from tests.support.fake_llm import FakeLlm
from tests.support.isolation import isolation_here
from tests.support.real_claude import KEY, VERSIONS, installed
from tests.support.zoo import survivors


@pytest.fixture(scope="module")
def llm() -> Generator[FakeLlm]:
    """One model server; prompts carry their scripts, so tests do not meet in it."""
    with FakeLlm() as server:
        yield server


@pytest.fixture
async def isolation(tmp_path: Path) -> Isolation:
    """What a worker with the default settings finds here."""
    return await isolation_here(tmp_path)


@pytest.fixture(params=VERSIONS)
def claude(
    request: pytest.FixtureRequest, llm: FakeLlm, tmp_path: Path, isolation: Isolation
) -> Generator[AgentPlace]:
    """A place for one version, whose worker has a key and the model server as its gateway."""
    program = installed(request.param)
    if program is None:
        pytest.skip(f"Claude Code {request.param} is not installed; run tests/agents/install.sh")
    environment = {
        "ANTHROPIC_BASE_URL": llm.url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_MAX_RETRIES": "1",
    }
    place = AgentPlace(
        root=tmp_path,
        name="claude-code",
        executable=str(program),
        environment=environment,
        isolation=isolation,
        environment_names=("CLAUDE_CODE_MAX_RETRIES", "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS"),
    )
    yield place
    assert survivors(place.marker) == []
