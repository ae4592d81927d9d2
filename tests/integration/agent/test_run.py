"""One run of an agent from start to verdict, with real processes."""

from __future__ import annotations

import asyncio
import stat

import pytest

from internal.agent.budget import BRIEF_BYTES, TAIL_BYTES, EventLimits
from internal.agent.clip import event_bytes
from internal.agent.model import AgentEvent, Ending, EventKind
from internal.agent.run import AgentRun
from internal.process.errors import ExecutableMissing, NotExecutable, WorkingDirectoryMissing
from tests.support.agent_place import CANARY, AgentPlace
from tests.support.zoo import survivors


async def test_a_run_edits_files_and_tells_each_step(place: AgentPlace) -> None:
    """Events come in order, and the verdict has text, session and usage."""
    ended = await place.run("say I start\nwrite src/new.py: print(1)\nsay I am done")

    assert (place.workspace / "src" / "new.py").read_text() == "print(1)\n"
    assert ended.told(EventKind.TEXT) == [{"text": "I start"}, {"text": "I am done"}]
    assert ended.told(EventKind.TOOL_USE)[0]["name"] == "write"
    assert ended.events[-1].kind is EventKind.RESULT
    result = ended.result
    assert (result.ending, result.text, result.message) == (Ending.COMPLETED, "I am done", "")
    assert result.session_id is not None
    assert result.usage.output_tokens > 0
    assert result.usage.duration_seconds > 0


async def test_a_follow_up_resumes_the_session_in_another_directory(place: AgentPlace) -> None:
    """On a copy of its home; the first home stays as it was."""
    first = await place.run("say first")
    session = first.result.session_id
    assert session is not None

    moved = place.move(session, to="second")
    second = await moved.run("say second", session_id=session)

    assert second.told(EventKind.TEXT)[0] == {"text": "I remember 1 earlier prompt(s)"}
    assert second.result.session_id == session


async def test_a_lost_session_is_told_apart(place: AgentPlace) -> None:
    """The same run can be repeated with a rebuilt prompt."""
    ended = await place.run("say hi", session_id="never-heard-of")

    assert ended.result.ending is Ending.SESSION_LOST
    assert ended.result.session_id is None


async def test_secrets_leave_the_run_nowhere(place: AgentPlace) -> None:
    """Not in an event, the verdict, the kept output, or what was said on stderr."""
    ended = await place.run(f"say {CANARY}\nwrite {CANARY}: x\nread {CANARY}\nfail with {CANARY}")

    shown = repr((ended.events, ended.result, ended.output))
    assert CANARY not in shown
    assert ended.result.message == "with [redacted]"


async def test_the_whole_output_is_kept_for_the_operator(place: AgentPlace) -> None:
    """In a file that only we can read."""
    ended = await place.run("say hello\ngarbage")

    assert '"text": "hello"' in ended.output
    assert "this is no JSON" in ended.output
    assert stat.S_IMODE((place.root / "output").stat().st_mode) == 0o600


async def test_a_flood_stays_within_the_limits(place: AgentPlace) -> None:
    """And its end is still told."""
    ended = await place.run("flood 20 MiB\nsay the end")

    limit = EventLimits().max_bytes + BRIEF_BYTES + TAIL_BYTES
    assert sum(map(event_bytes, ended.events)) < limit
    assert len(ended.told(EventKind.TRUNCATED)) == 1
    assert ended.told(EventKind.RESULT) == [{"text": "the end", "is_error": False}]
    assert ended.output.endswith("[the rest of the output was left out]\n")


async def test_weakness_13_a_line_of_five_megabytes_is_cut_and_says_so(place: AgentPlace) -> None:
    """It is one event."""
    ended = await place.run("line 5 MB\nsay the end")

    long, _ = ended.told(EventKind.TEXT)
    assert long["truncated"] is True
    assert 50_000 < len(long["text"]) < 65_536
    assert ended.result.ending is Ending.COMPLETED


async def test_fault_a13_a_daemon_that_keeps_stdout_open_delays_nothing(place: AgentPlace) -> None:
    """The end comes, and nothing is left."""
    ended = await place.run("daemon\nfork\nsay bye")

    assert ended.result.ending is Ending.COMPLETED
    assert survivors(place.marker) == []


async def test_an_agent_we_end_is_stopped_with_what_it_did(place: AgentPlace) -> None:
    """Its partial text, usage and session are kept, and our reason is told."""

    async def stop(run: AgentRun, event: AgentEvent) -> None:
        if event.data.get("text") == "working":
            await run.process.end("cancel", interrupt_seconds=0.2, terminate_seconds=0.2)

    ended = await place.run("ignore-signals\nsay working\nhang", act=stop)

    assert ended.result.ending is Ending.STOPPED
    assert "cancel" in ended.result.message
    assert ended.result.text == "working"
    assert ended.result.session_id is not None
    assert ended.result.usage.output_tokens > 0


async def test_leaving_the_context_kills_the_agent(place: AgentPlace) -> None:
    """Whatever the reason, nothing survives it."""

    async def fail(run: AgentRun, event: AgentEvent) -> None:
        if event.data.get("text") == "ready":
            raise RuntimeError("our own failure")

    with pytest.raises(RuntimeError, match="our own failure"):
        await place.run("daemon\nignore-signals\nsay ready\nhang", act=fail)

    assert survivors(place.marker) == []


async def test_a_cancelled_run_leaves_nothing(place: AgentPlace) -> None:
    """Cancellation passes through, after the tree is gone."""
    ready = asyncio.Event()

    async def tell(run: AgentRun, event: AgentEvent) -> None:
        ready.set()

    task = asyncio.create_task(place.run("say ready\nhang", act=tell))
    await ready.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(place.marker) == []


async def test_usage_and_session_are_known_while_it_runs(place: AgentPlace) -> None:
    """So that they are there when the worker dies of it."""
    async with place.start("say working\nhang") as run:
        async for event in run.events():
            if event.kind is EventKind.USAGE:
                break

        assert run.session_id is not None
        assert run.usage.input_tokens > 0
        assert run.usage.duration_seconds > 0


async def test_a_crash_tells_the_signal(place: AgentPlace) -> None:
    """There is no last line to read."""
    ended = await place.run("say hi\ncrash")

    assert ended.result.ending is Ending.FAILED
    assert "SIGABRT" in ended.result.message


async def test_an_output_file_that_cannot_be_written_stops_nothing(place: AgentPlace) -> None:
    """It is only a convenience."""
    (place.root / "output").symlink_to(place.root / "elsewhere")

    async with place.start("say hi") as run:
        events = [event async for event in run.events()]

    assert events[-1].kind is EventKind.RESULT
    assert not (place.root / "elsewhere").exists()


async def test_a_missing_program_is_told_before_anything_runs(place: AgentPlace) -> None:
    """Each cause has its own error."""
    place.executable = "/nowhere/agent"
    with pytest.raises(ExecutableMissing):
        await place.run("say hi")

    plain = place.root / "plain"
    plain.write_text("no program")
    place.executable = str(plain)
    with pytest.raises(NotExecutable):
        await place.run("say hi")

    place.executable = None
    place.workspace.rmdir()
    with pytest.raises(WorkingDirectoryMissing):
        await place.run("say hi")
