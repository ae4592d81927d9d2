"""Sessions of agents: bounded in what they take, and given up with whoever wanted them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from internal.workspace.files import disk_bytes
from internal.workspace.folders import Sessions
from tests.support.waiting import until

OURS = ("tenant", "task1", "claim1")


def _home(path: Path, size: int) -> Path:
    path.mkdir()
    (path / "session").write_bytes(os.urandom(size))
    return path


async def test_a_hole_in_a_home_takes_no_room(tmp_path: Path) -> None:
    """However large a file says it is, the copy for the next run takes what is in it."""
    home = _home(tmp_path / "home", 10)
    with (home / "sparse").open("wb") as sparse:
        sparse.truncate(6 << 30)
    sessions = Sessions(tmp_path / "sessions", max_bytes=1 << 20)

    await sessions.keep(*OURS, home)
    given = await sessions.give(*OURS, tmp_path / "next")

    assert given
    assert (tmp_path / "next" / "sparse").stat().st_size == 6 << 30
    assert disk_bytes(tmp_path / "next") < 1 << 20


async def test_a_session_that_is_too_large_is_none(tmp_path: Path) -> None:
    """It is not kept; one kept before under a larger limit is not given; both are logged."""
    roomy = Sessions(tmp_path / "sessions", max_bytes=1 << 20)
    narrow = Sessions(tmp_path / "sessions", max_bytes=100_000)
    await roomy.keep("tenant", "task2", "claim2", _home(tmp_path / "home2", 300_000))

    with capture_logs() as logs:
        await narrow.keep(*OURS, _home(tmp_path / "home1", 300_000))
        given = await narrow.give("tenant", "task2", "claim2", tmp_path / "next")

    assert not given
    assert not (tmp_path / "next").exists()
    assert not narrow.path(*OURS).exists()
    assert [entry["event"] for entry in logs] == ["workspace.session_too_large"] * 2


async def test_a_cancelled_copy_ends_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that copies does not go on for a step that was cancelled."""
    sessions = Sessions(tmp_path / "sessions")
    await sessions.keep(*OURS, _home(tmp_path / "home", 1 << 20))
    monkeypatch.setattr("internal.workspace.copying._BLOCK_BYTES", 1)  # a million blocks

    giving = asyncio.create_task(sessions.give(*OURS, tmp_path / "next"))
    await until("the copy has begun", (tmp_path / "next" / "session").exists)
    giving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await giving

    assert giving.cancelled()
    await until("the half copy is gone", lambda: not (tmp_path / "next").exists())
