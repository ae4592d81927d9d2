"""Nothing that an agent does keeps it, its children or its output from coming to an end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path

import pytest

from internal.process.spec import Cause
from internal.process.supervise import AgentProcess, start
from tests.integration.process.conftest import MakeSpec
from tests.support.zoo import animal, eventually, process_state, survivors

outside_only = pytest.mark.parametrize("isolation", ["none"], indirect=True)
"""For what no agent in a sandbox can do: there is no shim to be seen."""

inside_only = pytest.mark.parametrize("isolation", ["bwrap"], indirect=True)


async def until_ready(agent: AgentProcess) -> None:
    lines = agent.stdout_lines()
    assert (await anext(lines)).content == b"ready"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[1])


async def test_sigint_comes_first_and_is_enough_for_a_polite_agent(make_spec: MakeSpec) -> None:
    """
    An agent that leaves on SIGINT ends itself, with its own exit code and its last words read.
    """
    async with await start(make_spec(animal("polite", "SIGINT"))) as agent:
        lines = agent.stdout_lines()
        await anext(lines)
        exit_ = await agent.end("canceled")
        last = [line.content async for line in lines]

    assert (exit_.code, exit_.cause, exit_.reason) == (7, Cause.ENDED, "canceled")
    assert last == [b"got SIGINT"]


async def test_sigterm_follows_when_sigint_is_ignored(make_spec: MakeSpec) -> None:
    """
    The second step of an end is SIGTERM.
    """
    async with await start(make_spec(animal("polite", "SIGTERM"))) as agent:
        lines = agent.stdout_lines()
        await anext(lines)
        exit_ = await agent.end("canceled", interrupt_seconds=0.05)
        last = [line.content async for line in lines]

    assert exit_.code == 7
    assert last == [b"got SIGTERM"]


async def test_promise_15_an_agent_that_ignores_every_signal_is_killed(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    After both signals the whole tree is killed, and `end` returns when it is gone.
    """
    async with await start(make_spec(animal("stubborn"))) as agent:
        await until_ready(agent)
        exit_ = await agent.end("timeout", interrupt_seconds=0.05, terminate_seconds=0.05)

        assert (exit_.signal, exit_.cause) == (signal.SIGKILL, Cause.ENDED)
        assert survivors(marker) == []


async def test_promise_14_a_daemon_goes_when_its_agent_is_killed(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    A double fork with a session of its own does not lead out of the tree.
    """
    async with await start(make_spec(animal("breeder", "stay"))) as agent:
        await until_ready(agent)
        await agent.kill()

        assert survivors(marker) == []


async def test_promise_14_weakness_15_a_daemon_goes_when_its_agent_ends(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    What an agent leaves running ends with the run, without waiting when it holds no pipe.
    """
    spec = make_spec(animal("breeder", "leave"), drain_seconds=600)

    async with await start(spec) as agent:
        exit_ = await agent.wait()

        assert (exit_.code, exit_.cause) == (0, Cause.EXITED)
        assert survivors(marker) == []


async def test_promise_16_a_daemon_that_holds_stdout_does_not_hang_the_run(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    After the drain window the daemon is killed, so output and run end.
    """
    async with await start(make_spec(animal("holder"), drain_seconds=0.2)) as agent:
        lines = [line.content async for line in agent.stdout_lines()]
        exit_ = await agent.wait()

        assert lines == [b"ready"]
        assert (exit_.code, exit_.cause) == (0, Cause.EXITED)
        assert survivors(marker) == []


@pytest.mark.parametrize("processes", [300])
async def test_promise_14_a_fork_bomb_loses(
    make_spec: MakeSpec, marker: str, processes: int
) -> None:
    """
    Processes that fork while they are being killed, half of them in own sessions, all die.
    """
    async with await start(make_spec(animal("bomb", processes))) as agent:
        await until_ready(agent)
        await eventually(lambda: len(survivors(marker)) > processes // 4, "the bomb goes off")
        await agent.kill()

        assert survivors(marker) == []


async def test_promise_14_a_tree_that_replaces_its_dead_loses(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    All are stopped before the first is killed, so no parent sees its child die and forks anew.
    """
    async with await start(make_spec(animal("hydra"))) as agent:
        await until_ready(agent)
        await eventually(lambda: len(survivors(marker)) >= 18, "all heads have grown")
        await agent.kill()

        assert survivors(marker) == []


async def test_promise_13_a_flood_is_read_in_bounded_memory(make_spec: MakeSpec) -> None:
    """
    256 MiB of output pass through in order, without the worker growing by a part of it.
    """
    size = 256 * 1024 * 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async with await start(make_spec(animal("flood", size))) as agent:
        count = 0
        async for line in agent.stdout_lines():
            count += len(line.content) + 1

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert count == agent.output_bytes == size
    assert grown_kib < 32 * 1024


async def test_promise_13_an_agent_waits_for_a_consumer_that_does_not_read(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    Unread output stays in the agent's pipe: little of a flood is taken in, and it can be killed.
    """
    async with await start(make_spec(animal("flood", 1024 * 1024 * 1024))) as agent:
        await eventually(lambda: agent.output_bytes > 0, "output comes")
        await eventually(lambda: process_state(agent.pid) == "S", "the agent waits")
        taken = agent.output_bytes
        await agent.kill()

        assert taken <= 1024 * 1024
        assert survivors(marker) == []


@pytest.mark.parametrize("length", [200_000, 5_000_000])
async def test_a_line_of_any_length_comes_whole(make_spec: MakeSpec, length: int) -> None:
    """
    Agents print whole files as one line of JSON.
    """
    async with await start(make_spec(animal("long_line", length))) as agent:
        line, after = [line async for line in agent.stdout_lines()]

    assert (line.content, line.dropped_bytes) == (b"a" * length, 0)
    assert after.content == b"after"


async def test_a_line_over_the_limit_is_cut_and_says_so(make_spec: MakeSpec) -> None:
    """
    Past the limit a line is dropped and counted; the next line is whole again.
    """
    spec = make_spec(animal("long_line", 300_000), max_line_bytes=1000)

    async with await start(spec) as agent:
        line, after = [line async for line in agent.stdout_lines()]

    assert (line.content, line.dropped_bytes) == (b"a" * 1000, 299_000)
    assert (after.content, after.dropped_bytes) == (b"after", 0)


async def test_output_without_newline_and_without_utf8_is_kept(make_spec: MakeSpec) -> None:
    """
    Bytes come as they were written; only the tail of stderr is made into text.
    """
    async with await start(make_spec(animal("raw", "61ff0a62", "63ff64"))) as agent:
        lines = [line.content async for line in agent.stdout_lines()]
        await agent.wait()

    assert lines == [b"a\xff", b"b"]
    assert agent.stderr_tail == "c\N{REPLACEMENT CHARACTER}d"


async def test_an_agent_that_closes_its_output_and_lives_can_be_ended(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    The end of output is not the end of the agent.
    """
    async with await start(make_spec(animal("mute"))) as agent:
        lines = [line.content async for line in agent.stdout_lines()]
        state = process_state(agent.pid)
        exit_ = await agent.end("idle_timeout")

        assert lines == [b"last words"]
        assert state in {"R", "S", "D"}
        assert exit_.signal == signal.SIGINT
        assert survivors(marker) == []


@outside_only
async def test_an_agent_that_kills_its_shim_does_not_get_away(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    The agent dies with the shim, its daemon is found by the marker, and the exit says it.
    """
    async with await start(make_spec(animal("parricide", "SIGKILL"))) as agent:
        exit_ = await agent.wait()

        assert exit_.cause is Cause.SHIM_LOST
        assert survivors(marker) == []


@outside_only
async def test_an_agent_that_stops_its_shim_does_not_get_away(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    A stopped shim is woken to kill.
    """
    async with await start(make_spec(animal("parricide", "SIGSTOP"))) as agent:
        await until_ready(agent)
        shim = parent_of(agent.pid)
        await eventually(lambda: process_state(shim) == "T", "the shim is stopped")
        exit_ = await agent.kill()

        assert exit_.cause is Cause.ENDED
        assert survivors(marker) == []


@inside_only
async def test_an_agent_that_attacks_its_first_process_gets_nowhere(
    make_spec: MakeSpec, marker: str
) -> None:
    """
    In a sandbox the parent is the first process, which no signal from inside reaches.
    """
    async with await start(make_spec(animal("patricide"))) as agent:
        await until_ready(agent)
        exit_ = await agent.kill()

        assert exit_.cause is Cause.ENDED
        assert survivors(marker) == []


@inside_only
async def test_a_daemon_without_marker_goes_with_its_shim(
    make_spec: MakeSpec, marker: str, tmp_path: Path
) -> None:
    """
    Nothing outlives the end of the first process: neither an empty environment nor a session of its
    own, nor the death of everybody who could look for it.
    """
    async with await start(make_spec(animal("nameless", tmp_path / "alive"))) as agent:
        await until_ready(agent)
        nameless = processes_that_hold(tmp_path / "alive")
        shim = parent_of(parent_of(parent_of(agent.pid)))
        os.kill(shim, signal.SIGKILL)
        exit_ = await agent.wait()

        assert exit_.cause is Cause.SHIM_LOST
        assert len(nameless) == 1
        await eventually(
            lambda: not processes_that_hold(tmp_path / "alive"), "the nameless one is gone"
        )


def processes_that_hold(file: Path) -> list[int]:
    """Pids of those that have *file* open."""
    found: list[int] = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == file:
                found.append(int(link.parts[2]))
    return sorted(set(found))
