"""The dead-man's timer: a tree runs only while its lease does, whatever its worker does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from internal.process.shim import FREEZE_MARGIN_SECONDS
from internal.process.spec import Cause
from internal.process.supervise import AgentProcess, start
from tests.integration.process.conftest import MakeSpec
from tests.support.zoo import LIMIT_SECONDS, animal, eventually, process_state, survivors

SOON = FREEZE_MARGIN_SECONDS + 0.1
"""A lease that lasts so long freezes its tree in a tenth of a second."""

_ROOT = Path(__file__).parents[3]


def size_of(counter: Path) -> int:
    return counter.stat().st_size if counter.exists() else 0


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii"))


async def until_counting(counter: Path) -> None:
    """The agent works: the file grows."""
    size = size_of(counter)
    await eventually(lambda: size_of(counter) > size, "the counter runs")


async def until_still(agent: AgentProcess) -> None:
    await eventually(lambda: agent.is_frozen, "the shim tells that the tree is frozen")


async def test_a_tree_freezes_before_its_lease_ends_and_a_later_lease_thaws_it(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """
    Frozen, nothing of the tree runs, children in other sessions included; thawed, all of it does.
    """
    counter = tmp_path / "counter"
    async with await start(make_spec(animal("counter", counter))) as agent:
        await until_counting(counter)
        lease_end = time.monotonic() + SOON

        agent.hold_lease(lease_end)
        await until_still(agent)
        frozen_before_the_end = time.monotonic() < lease_end
        size = size_of(counter)
        stopped = process_state(agent.pid)
        first = agent.frozen_seconds()
        await eventually(lambda: agent.frozen_seconds() > first + 0.1, "frozen time grows")
        grown = size_of(counter) - size
        agent.hold_lease(time.monotonic() + 600)
        await until_counting(counter)
        total = agent.frozen_seconds()

        assert frozen_before_the_end
        assert stopped == "T"
        assert grown == 0
        assert not agent.is_frozen
        assert total == agent.frozen_seconds() > 0.1


async def test_the_latest_lease_counts_from_whatever_thread(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """
    The heartbeat's thread holds leases while the event loop does something else.
    """
    counter = tmp_path / "counter"
    async with await start(make_spec(animal("counter", counter))) as agent:
        await until_counting(counter)
        heartbeat = threading.Thread(target=agent.hold_lease, args=(time.monotonic() + 600,))
        heartbeat.start()
        heartbeat.join()

        agent.hold_lease(time.monotonic() + 1)  # an older heartbeat that comes late
        await until_counting(counter)

        assert agent.frozen_seconds() == 0
    agent.hold_lease(time.monotonic() + 600)  # after the end it is no error


async def test_without_a_later_lease_the_grace_kills(make_spec: MakeSpec, marker: str) -> None:
    """
    A tree stays frozen for `outage_grace_seconds`, then it is killed and its exit says why.
    """
    spec = make_spec(animal("breeder", "stay"), outage_grace_seconds=0.3)

    async with await start(spec) as agent:
        agent.hold_lease(time.monotonic() + SOON)
        exit_ = await agent.wait()

        assert (exit_.signal, exit_.cause) == (signal.SIGKILL, Cause.LEASE)
        assert agent.frozen_seconds() > 0
        assert survivors(marker) == []


async def test_freeze_and_thaw_on_request(make_spec: MakeSpec, tmp_path: Path) -> None:
    """
    A request freezes without any lease; what had stopped itself before is left stopped by the thaw.
    """
    counter = tmp_path / "counter"
    async with await start(make_spec(animal("counter", counter))) as agent:
        await until_counting(counter)
        daemon = child_of(agent.pid)
        os.kill(daemon, signal.SIGSTOP)
        await eventually(lambda: process_state(daemon) == "T", "the daemon has stopped")

        agent.freeze()
        await until_still(agent)
        agent.thaw()
        await eventually(lambda: not agent.is_frozen, "the tree is thawed")
        await until_counting(counter)

        assert process_state(daemon) == "T"


async def test_a_continue_from_elsewhere_does_not_thaw(make_spec: MakeSpec, tmp_path: Path) -> None:
    """
    A frozen tree is looked after: what somebody continued is stopped again.
    """
    counter = tmp_path / "counter"
    async with await start(make_spec(animal("counter", counter))) as agent:
        await until_counting(counter)
        agent.freeze()
        await until_still(agent)

        size = size_of(counter)

        def was_continued() -> bool:
            os.kill(agent.pid, signal.SIGCONT)
            return size_of(counter) > size

        await eventually(was_continued, "it was continued")
        await eventually(lambda: process_state(agent.pid) == "T", "it is stopped again")


async def test_ending_a_frozen_tree_lets_it_hear_the_signal(make_spec: MakeSpec) -> None:
    """
    SIGINT is sent, then SIGCONT, so a frozen agent can still leave in its own way, and stays awake.
    """
    async with await start(make_spec(animal("polite", "SIGINT"))) as agent:
        lines = agent.stdout_lines()
        await anext(lines)
        agent.hold_lease(time.monotonic() + SOON)
        await until_still(agent)

        exit_ = await agent.end("canceled")
        last = [line.content async for line in lines]

    assert exit_.code == 7
    assert last == [b"got SIGINT"]


async def test_killing_a_frozen_tree_leaves_nothing(make_spec: MakeSpec, marker: str) -> None:
    """
    A frozen tree dies without being continued.
    """
    async with await start(make_spec(animal("breeder", "stay"))) as agent:
        agent.freeze()
        await until_still(agent)
        await agent.kill()

        assert survivors(marker) == []


class Worker:
    """A worker of its own process, as `tests.support.zoo_worker` describes."""

    def __init__(self, process: asyncio.subprocess.Process, agent: int) -> None:
        self.process = process
        self.agent = agent

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def ask(self, line: str = "") -> list[str]:
        assert self.process.stdout is not None
        if line:
            self.tell(line)
        answer = await asyncio.wait_for(self.process.stdout.readline(), LIMIT_SECONDS)
        return answer.decode().split()


@asynccontextmanager
async def worker(
    marker: str, argv: list[str], *, grace_seconds: float = 120
) -> AsyncGenerator[Worker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.zoo_worker",
        marker,
        str(grace_seconds),
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path]), "PATH": os.environ["PATH"]},
    )
    try:
        started = Worker(process, 0)
        started.agent = int((await started.ask())[0])
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await eventually(lambda: not survivors(marker), "the tree follows its worker")


async def test_promise_3_nothing_survives_its_workers_kill(marker: str) -> None:
    """
    `kill -9` of a worker ends its agents and their daemons, although nobody is left to order it.
    """
    async with worker(marker, animal("breeder", "stay")) as owner:
        await eventually(lambda: len(survivors(marker)) >= 3, "shim, agent and daemon run")
        owner.process.kill()

        await eventually(lambda: not survivors(marker), "everything of the tree is gone")


async def test_a_stopped_workers_tree_freezes_by_itself_and_thaws_later(
    marker: str, tmp_path: Path
) -> None:
    """
    A worker stopped past its lease cannot run its agent beside the next claim; continued in time,
    it takes a new lease and knows how long the tree stood still.
    """
    counter = tmp_path / "counter"
    async with worker(marker, animal("counter", counter)) as owner:
        await until_counting(counter)
        owner.tell(f"lease {SOON}")
        await owner.ask("frozen")  # so the lease was sent
        owner.process.send_signal(signal.SIGSTOP)

        await eventually(lambda: process_state(owner.agent) == "T", "the agent is frozen")
        stopped = process_state(owner.process.pid)
        owner.process.send_signal(signal.SIGCONT)
        owner.tell("lease 600")
        await until_counting(counter)
        seconds = 0.0
        while seconds == 0:  # the shim's word arrives behind the thaw; the test's own limit ends it
            seconds = float((await owner.ask("frozen"))[1])

        assert stopped == "T"


async def test_a_stopped_workers_tree_is_killed_after_the_grace(marker: str) -> None:
    """
    The grace ends while the worker still is stopped; continued, it learns that the lease was why.
    """
    async with worker(marker, animal("breeder", "stay"), grace_seconds=0.5) as owner:
        owner.tell(f"lease {SOON}")
        await owner.ask("frozen")
        owner.process.send_signal(signal.SIGSTOP)

        await eventually(lambda: not survivors(marker), "the tree is killed")
        owner.process.send_signal(signal.SIGCONT)

        assert await owner.ask() == ["exit", "lease"]
