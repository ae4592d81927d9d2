"""An agent is started with exactly what it should have, read, written to, and its end is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from internal.process.errors import (
    ExecutableMissing,
    NotExecutable,
    StartFailed,
    WorkingDirectoryMissing,
)
from internal.process.limits import Limits
from internal.process.spec import Cause, Exit, Front, Launcher
from internal.process.supervise import AgentProcess, start
from tests.integration.process.conftest import MakeSpec
from tests.support.zoo import animal, eventually, survivors


async def read(agent: AgentProcess) -> list[bytes]:
    return [line.content async for line in agent.stdout_lines()]


async def test_output_and_exit_code_of_an_agent_are_told(make_spec: MakeSpec) -> None:
    """
    Lines come in order, the exit code is the agent's, and nothing of ours was its cause.
    """
    async with await start(make_spec(animal("parrot", 3, "one", "two"))) as agent:
        lines = await read(agent)
        exit_ = await agent.wait()

    assert lines == [b"one", b"two"]
    assert exit_ == Exit(code=3, signal=None, cause=Cause.EXITED)
    assert agent.output_bytes == len(b"one\ntwo\n")


async def test_input_larger_than_a_pipe_reaches_the_agent(make_spec: MakeSpec) -> None:
    """
    The first bytes are written while the agent runs, however many they are, and then stdin ends.
    """
    prompt = os.urandom(3_000_000).hex().encode()

    async with await start(make_spec(animal("cat"), stdin=prompt)) as agent:
        lines = await read(agent)

    assert lines == [prompt]


async def test_input_can_follow_when_stdin_is_kept_open(make_spec: MakeSpec) -> None:
    """
    With `close_stdin` off, later input is added and `close_stdin` ends it.
    """
    async with await start(make_spec(animal("cat"), stdin=b"a", close_stdin=False)) as agent:
        agent.write_stdin(b"b")
        agent.close_stdin()
        lines = await read(agent)

    assert lines == [b"ab"]


async def test_an_agent_that_never_reads_its_input_is_no_error(make_spec: MakeSpec) -> None:
    """
    EPIPE is ignored: a program need not read its prompt.
    """
    prompt = b"x" * 1_000_000

    async with await start(make_spec(animal("parrot", 0, "done"), stdin=prompt)) as agent:
        lines = await read(agent)
        exit_ = await agent.wait()
        agent.write_stdin(b"too late")
        agent.close_stdin()

    assert lines == [b"done"]
    assert exit_.code == 0


async def test_the_environment_is_exactly_what_was_given(make_spec: MakeSpec, marker: str) -> None:
    """
    Nothing of the worker's environment is inherited; only the run's marker is added.
    """
    environment = {"PATH": os.environ["PATH"], "NAME": "value é"}

    async with await start(make_spec(animal("environment"), environment=environment)) as agent:
        lines = await read(agent)

    names = {line.decode().partition("=")[0] for line in lines}
    assert "NAME=value é".encode() in lines
    assert f"CODEFORGE_RUN={marker}".encode() in lines
    assert names <= {"PATH", "NAME", "CODEFORGE_RUN", "LC_CTYPE"}  # the last is Python's own


async def test_limits_hold_in_the_agent(make_spec: MakeSpec) -> None:
    """
    Limits and the memory killer's preference are set, and no descriptor of ours is there.
    """
    spec = make_spec(animal("limits"), limits=Limits(open_files=99))

    async with await start(spec) as agent:
        files, core, oom, fds, leads_session = await read(agent)

    assert files == b"(99, 99)"
    assert core == b"(0, 0)"
    assert oom == b"500"
    assert fds == b"['0', '1', '2', '3']"  # the last one is the listing itself
    assert leads_session == b"True"


@pytest.mark.parametrize("isolation", ["none"], indirect=True)
async def test_setuid_programs_give_no_way_out_of_the_kill(make_spec: MakeSpec) -> None:
    """
    No descendant can become another user, whom we could not signal.
    """
    argv = ["grep", "NoNewPrivs", "/proc/self/status"]

    async with await start(make_spec(argv)) as agent:
        strict = await read(agent)
    async with await start(make_spec(argv, limits=Limits(no_new_privileges=False))) as agent:
        loose = await read(agent)

    assert strict == [b"NoNewPrivs:\t1"]
    assert loose == [b"NoNewPrivs:\t0"]


@pytest.fixture
def _started_by_nohup() -> Iterator[None]:
    ignored = (signal.SIGHUP, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    yield
    for number, handler in zip(ignored, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_started_by_nohup")
async def test_signals_are_as_a_program_expects_them(make_spec: MakeSpec) -> None:
    """
    What Python ignores for itself, or a worker because nohup or a shell's `&` started it, an agent
    must not inherit, nor a blocked signal.
    """
    # 32 and 33 are the C library's own: no program can set them, and make leaves them ignored.
    foreign = 1 << 31 | 1 << 32

    async with await start(make_spec(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])) as agent:
        lines = await read(agent)

    masks = {name: int(mask, 16) & ~foreign for name, mask in map(bytes.split, lines)}
    assert masks == {b"SigBlk:": 0, b"SigIgn:": 0}


async def test_a_launcher_stands_in_front_of_the_agent(make_spec: MakeSpec) -> None:
    """
    What isolates an agent sees its argv, environment and directory; without any front it starts.
    """
    seen: list[object] = []

    def launcher(argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        seen.extend((argv, "CODEFORGE_RUN" in environment, cwd))

    spec = make_spec(animal("parrot", 0, "x"), launcher=launcher)

    async with await start(spec) as agent:
        lines = await read(agent)

    assert lines == [b"x"]
    assert seen == [spec.argv, True, spec.cwd]


async def test_a_front_that_fails_is_told_with_its_words(make_spec: MakeSpec) -> None:
    """
    What a sandbox says when it cannot be made is the error; nothing has run.
    """
    broken = Front(argv=["/bin/sh", "-c", "echo no such luck >&2; exit 1"])
    missing = Front(argv=["/nowhere/bwrap"])
    launchers: list[Launcher] = [lambda _, __, ___: broken, lambda _, __, ___: missing]
    for launcher in launchers:
        spec = make_spec(animal("sleeper"), launcher=launcher)

        with pytest.raises(StartFailed, match=r"sandbox cannot be made: no such luck|No such file"):
            await start(spec)


async def test_a_missing_executable_is_told_as_such(make_spec: MakeSpec) -> None:
    """
    Neither a name that is nowhere on the PATH nor an absent path starts anything.
    """
    for argv in (["no-such-agent"], ["/nowhere/agent"]):
        with pytest.raises(ExecutableMissing, match="not found"):
            await start(make_spec(argv))


async def test_a_file_that_cannot_be_run_is_told_as_such(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """
    A file without permission, and one that is no program, differ from a missing one.
    """
    no_permission, no_program = tmp_path / "data", tmp_path / "garbage"
    no_permission.write_text("#!/bin/sh\n", encoding="ascii")
    no_program.write_bytes(b"\x00\x01\x02")
    no_program.chmod(0o755)

    for path in (no_permission, no_program):
        with pytest.raises(NotExecutable):
            await start(make_spec([str(path)]))


async def test_a_missing_working_directory_is_told_as_such(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """
    A workspace that went away is not the agent's fault.
    """
    with pytest.raises(WorkingDirectoryMissing):
        await start(make_spec(animal("sleeper"), cwd=tmp_path / "gone"))


async def test_arguments_that_no_program_can_take_are_refused(make_spec: MakeSpec) -> None:
    """
    A null byte, or more than the kernel passes on, starts nothing.
    """
    for argument in ("a\0b", "x" * 5_000_000):
        with pytest.raises(StartFailed):
            await start(make_spec(["/bin/echo", argument]))


async def test_leaving_by_cancellation_leaves_nothing(make_spec: MakeSpec, marker: str) -> None:
    """
    A cancelled consumer's agent and its daemon are gone when the cancellation arrives, also when
    the clean-up is cancelled a second time.
    """
    entered = asyncio.Event()

    async def run() -> None:
        async with await start(make_spec(animal("breeder", "stay"))) as agent:
            entered.set()
            await agent.wait()

    task = asyncio.create_task(run())
    await entered.wait()
    await eventually(lambda: len(survivors(marker)) in {3, 5}, "shim, agent and daemon run")
    task.cancel()
    asyncio.get_running_loop().call_soon(task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(marker) == []


async def test_cancelling_a_start_leaves_nothing(make_spec: MakeSpec, marker: str) -> None:
    """
    There is no moment of the start at which a cancellation leaves a process.
    """
    for turns in range(6):
        task = asyncio.create_task(start(make_spec(animal("sleeper"))))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

        try:
            agent = await task
        except asyncio.CancelledError:
            pass
        else:  # a busy machine: it had started already
            await agent.close()
        assert survivors(marker) == []


async def test_many_agents_leave_no_descriptor_open(make_spec: MakeSpec) -> None:
    """
    Starting, failing to start and ending give back every descriptor of the worker.
    """

    async def one() -> None:
        async with await start(make_spec(animal("parrot", 0, "x"))) as agent:
            await read(agent)
        with pytest.raises(ExecutableMissing):
            await start(make_spec(["no-such-agent"]))

    await one()
    before = len(os.listdir("/proc/self/fd"))
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(one())

    await eventually(
        lambda: len(os.listdir("/proc/self/fd")) <= before, "the descriptors are given back"
    )


async def test_an_agent_that_kills_itself_is_told_by_its_signal(make_spec: MakeSpec) -> None:
    """
    A signal's death has no exit code, and is nobody's order.
    """
    async with await start(make_spec(animal("suicide", "SIGSEGV"))) as agent:
        exit_ = await agent.wait()

    assert exit_ == Exit(code=None, signal=signal.SIGSEGV, cause=Cause.EXITED)
