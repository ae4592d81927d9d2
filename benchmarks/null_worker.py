"""
A worker process whose agent does nothing: the real pool, heartbeat, recorder and report.

What a run costs without a clone and without an agent's process is what the queue costs. Each run
claims, goes on to running, appends three events of an agent and finishes, as the executor does; a
callback makes the finish write to the outbox. Prints a line of JSON for each claim (`watch`), or
one for all of them (`drain`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence

import uvloop

from codeforge import runtime
from codeforge.parent import end_with_parent
from codeforge.wiring.core import Core, open_core
from internal.agent.model import Usage
from internal.git.model import Changes
from internal.ids import random_token
from internal.rdb.client import connect_sync
from internal.task.event import new_event
from internal.task.heartbeat import BeatReply, heartbeat
from internal.task.model import Claim, Outcome
from internal.task.queue import Lane, TaskQueue
from internal.task.state import State
from internal.worker.lease import Heartbeat, Hold
from internal.worker.pool import Pool
from internal.worker.recorder import Recorder
from internal.worker.report import report

WORKER, HOME, SLOTS = "null", "nowhere", 10

_EVENTS = (
    new_event("stream", "text", {"text": "I have looked at the parser and its tests."}),
    new_event("stream", "usage", {"input_tokens": 900, "output_tokens": 40}),
    new_event("stream", "result", {"text": "done", "is_error": False}),
)
_OUTCOME = Outcome(
    result="done",
    changes=Changes(files_modified=1, insertions=3),
    usage=Usage(input_tokens=900, output_tokens=40, turns=1, model="null"),
)


class NullRunner:
    """Runs a claim from claimed to reported; `claimed_at` and `ended_at` are monotonic seconds."""

    def __init__(self, queue: TaskQueue, *, is_watched: bool) -> None:
        self._queue = queue
        self._is_watched = is_watched
        self.claimed_at: list[float] = []
        self.ended_at = 0.0

    async def run(self, claim: Claim, hold: Hold) -> None:
        """See `pool.Runner`."""
        del hold
        self.claimed_at.append(time.monotonic())
        await run_null(self._queue, claim)
        self.ended_at = time.monotonic()
        if self._is_watched:
            print(json.dumps({"task": claim.task.id, "at": self.claimed_at[-1]}), flush=True)


async def run_null(queue: TaskQueue, claim: Claim) -> None:
    """From claimed to reported, as the executor does it, with nothing in between."""
    async with Recorder(queue, claim) as recorder:
        fields = {"base_commit": "0" * 40, "isolation": "none"}
        await queue.advance(claim, State.RUNNING, fields, random_token())
        for event in _EVENTS:
            recorder.add(event)
        await recorder.flush()
        await report(queue, claim, _OUTCOME)


async def _run(*, is_watched: bool, seconds: float) -> None:
    loaded = runtime.load(os.environ)
    runtime.start_logs(loaded.settings)
    async with open_core(loaded.settings, runtime.find_secrets(loaded.settings)) as core:
        runner = NullRunner(core.queue, is_watched=is_watched)
        beat = make_heartbeat(core, WORKER)
        pool = Pool(
            core.queue,
            runner,
            beat,
            worker=WORKER,
            home=HOME,
            slots=SLOTS,
            lanes=(Lane.AGENT,),
            grace_seconds=5,
            until_empty=not is_watched,
        )
        await core.queue.register(WORKER, HOME, {})
        beat.start()
        ticking = asyncio.create_task(beat.tick())
        print(json.dumps({"ready": True}), flush=True)
        cpu, stop = time.process_time(), runtime.stop_event()
        if not is_watched:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        await pool.run(stop)
        ticking.cancel()
        beat.end()
        if not is_watched:
            seen = {
                "lives": len(runner.claimed_at),
                "seconds": runner.ended_at - runner.claimed_at[0],
                "cpu": time.process_time() - cpu,
            }
            print(json.dumps(seen), flush=True)


def make_heartbeat(core: Core, worker: str) -> Heartbeat:
    """As the wiring of a worker makes it, for the home `nowhere`."""
    lease_seconds = core.settings.workers.lease_seconds
    redis = connect_sync(core.settings.redis.url.get_secret_value(), timeout_seconds=1)

    def send(claims: Sequence[tuple[str, str]], info: str) -> BeatReply:
        return heartbeat(
            redis,
            core.keys,
            worker=worker,
            home=HOME,
            lease_seconds=lease_seconds,
            info=info,
            claims=claims,
        )

    return Heartbeat(
        send,
        lease_seconds=lease_seconds,
        outage_grace_seconds=60,
        info=_nothing,
        on_alone=lambda: None,
    )


def _nothing(*_: object) -> dict[str, object]:
    """The registry record of a worker that has nothing to tell."""
    return {}


def main() -> None:
    """`watch` runs until it is ended, `drain <seconds>` at most until the queue is empty."""
    end_with_parent(os.environ)
    command, *seconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(is_watched=command == "watch", seconds=float(seconds[0]) if seconds else 0))


if __name__ == "__main__":
    main()
