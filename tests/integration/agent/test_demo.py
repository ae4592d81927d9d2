"""What the demo agent does for each line of its prompt."""

from __future__ import annotations

import asyncio

import pytest

from internal.agent.model import AgentEvent, Ending, EventKind
from internal.agent.run import AgentRun
from tests.support.agent_place import AgentPlace


async def test_a_plain_prompt_leaves_a_note(place: AgentPlace) -> None:
    """Every prompt leaves something to see, and a second one adds to it."""
    await place.run("Add a hello world function.\nAnd test it.")
    await place.run("Fail gracefully")

    assert (place.workspace / "NOTES.md").read_text() == (
        "# Notes\n\n- Add a hello world function.\n  And test it.\n- Fail gracefully\n"
    )


async def test_files_are_written_appended_read_and_deleted(place: AgentPlace) -> None:
    """A tool that fails is told, and the script goes on."""
    (place.workspace / "old").touch()

    ended = await place.run(
        "write a: one\\ntwo\nappend a: three\nread a\ndelete old\ndelete never\nsay done"
    )

    assert (place.workspace / "a").read_text() == "one\ntwo\nthree\n"
    assert not (place.workspace / "old").exists()
    outputs = ended.told(EventKind.TOOL_RESULT)
    assert outputs[2]["output"] == "one\ntwo\nthree\n"
    assert [output["is_error"] for output in outputs] == [False, False, False, False, True]
    assert ended.result.ending is Ending.COMPLETED


async def test_commit_commits_everything(place: AgentPlace) -> None:
    """Like agents that commit by themselves."""
    git = await asyncio.create_subprocess_exec("git", "init", "-q", cwd=place.workspace)
    await git.wait()

    ended = await place.run("write a: b\ncommit my message")

    assert "my message" in ended.told(EventKind.TOOL_RESULT)[1]["output"]


@pytest.mark.parametrize(
    ("prompt", "ending", "message"),
    [
        ("fail", Ending.FAILED, "failed as told"),
        ("fail: it is broken", Ending.FAILED, "it is broken"),
        ("fail rate_limited", Ending.RATE_LIMITED, "rate_limited"),
        ("fail auth_failed no key", Ending.AUTH_FAILED, "no key"),
        ("exit 3", Ending.FAILED, "exited with status 3"),
        ("silent", Ending.FAILED, "without saying"),
        ("garbage", Ending.COMPLETED, ""),
    ],
)
async def test_it_ends_as_told(
    place: AgentPlace, prompt: str, ending: Ending, message: str
) -> None:
    """Each way a run can end can be asked for."""
    result = (await place.run(prompt)).result

    assert result.ending is ending
    assert message in result.message


async def test_an_interrupt_ends_it_politely(place: AgentPlace) -> None:
    """With a result line, as real agents do."""

    async def stop(run: AgentRun, event: AgentEvent) -> None:
        if event.kind is EventKind.TEXT:
            await run.process.end("cancel")

    ended = await place.run("say ready\nhang", act=stop)

    assert ended.told(EventKind.RESULT) == [{"text": "interrupted", "is_error": True}]


async def test_it_sees_only_the_environment_of_the_allow_list(place: AgentPlace) -> None:
    """And the run's marker."""
    place.environment = {"AWS_SECRET_ACCESS_KEY": "x", "TZ": "UTC"}

    ended = await place.run("environment")

    names = set(ended.told(EventKind.TEXT)[0]["text"].split())
    assert names <= {"PATH", "HOME", "TZ", "CODEFORGE_RUN", "LC_CTYPE", "PWD"}
    assert {"PATH", "HOME", "TZ", "CODEFORGE_RUN"} <= names
