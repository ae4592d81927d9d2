"""`codeforge dead-letters` against a server."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from internal.task.model import Failure, Outcome, Reason
from tests.support.service import TOKEN, Service, body, listening

pytestmark = pytest.mark.live_keys


async def die(service: Service, count: int) -> list[str]:
    """Tasks whose repeats are used up; their ids, oldest first."""
    tasks: list[str] = []
    failure = Failure(reason=Reason.RATE_LIMITED, message="slow\ndown", retryable=True)
    async with service.client() as client:
        for _ in range(count):
            tasks.append((await client.post("/api/v1/tasks", json=body())).json()["id"])
            await service.finish(await service.claim(), Outcome(failure=failure, exhausted=True))
    return tasks


async def run(url: str, *words: str) -> tuple[int | None, str]:
    """Exit code and output."""
    command = (sys.executable, "-m", "codeforge", "dead-letters", *words)
    process = await asyncio.create_subprocess_exec(
        *(*command, "--url", url, "--token", TOKEN),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_letters_are_listed_shown_requeued_and_discarded(service: Service) -> None:
    """
    One line each; what was done is printed by id, so the words can be piped.
    """
    first, second, third = await die(service, 3)
    async with listening(service) as url:
        (_, shown), (_, as_json) = await asyncio.gather(
            run(url, "show", first), run(url, "show", first, "--json")
        )
        _, requeued = await run(url, "requeue", first)
        _, listed = await run(url, "list", "--reason", "rate_limited")
        _, discarded = await run(url, "discard", "--all", "--agent", "demo")

    assert "attempt 1" in shown
    assert "rate_limited" in shown
    assert json.loads(as_json)["id"] == first
    assert requeued == f"{first}\n"
    assert [line.partition(" ")[0] for line in listed.splitlines()] == [third, second]
    assert discarded.split() == [third, second]


async def test_what_is_meant_must_be_said(service: Service) -> None:
    """
    Neither ids nor --all, or both, is wrong usage; an unknown letter is exit code 3.
    """
    (letter,) = await die(service, 1)
    async with listening(service) as url:
        wrong = await asyncio.gather(
            run(url, "discard"),
            run(url, "discard", letter, "--all"),
            run(url, "requeue", letter, "--agent", "demo"),
        )
        unknown = await run(url, "show", "0" * 26)
        twice = [await run(url, "discard", letter) for _ in range(2)]

    assert [code for code, _ in wrong] == [2, 2, 2]
    assert unknown[0] == 3
    assert [code for code, _ in twice] == [0, 3]
