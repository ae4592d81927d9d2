"""
Records what the agents print, as fixtures of the conformance suite.

    tests/agents/install.sh && .venv/bin/python -m tests.agents.record [case ...]

Each case is run with each installed version of Claude Code against the scripted model; the demo
agent has cases of its own. The lines go to
tests/contract/fixtures/<agent>/<version>/<case>.jsonl, and how the process ended to <case>.json
beside it; paths of this machine are replaced. What the lines mean is judged by hand, in
tests/contract/test_recorded.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from internal.agent.base import Agent
from internal.agent.claude import ClaudeCode
from internal.agent.demo import Demo
from internal.agent.model import AgentRequest, EventKind
from internal.agent.run import RunOptions, run_agent
from internal.clock import SystemClock
from tests.support.fake_llm import FakeLlm, Json, scripted
from tests.support.real_claude import KEY, VERSIONS, installed

FIXTURES = Path(__file__).parents[1] / "contract" / "fixtures"

_WAIT = {"shell": "python3 -c 'import time; time.sleep(60)'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How to bring one ending about."""

    steps: tuple[Json, ...] = ({"text": "done"},)
    """What the scripted model does."""
    prompt: str | None = None
    """In place of the steps, for an agent without a model."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    request: Json = field(default_factory=dict[str, object])
    settings: Json | None = None
    signal: int | None = None
    """Sent to the agent when it first calls a tool."""
    first: Case | None = None
    """An earlier turn, whose session is resumed in another directory."""
    versions: tuple[str, ...] = VERSIONS


CLAUDE_CASES = {
    "done": Case(
        steps=(
            {
                "thinking": "A file is wanted.",
                "say": "I will write it.",
                "shell": "echo hello > hello.txt; cat hello.txt",
                "usage": {"input": 1000, "output": 50, "cached": 30, "cache_write": 20},
            },
            {"text": "all done", "usage": {"input": 2000, "output": 5, "cached": 300}},
        )
    ),
    "tool_fails": Case(steps=({"shell": "echo bad >&2; exit 3"}, {"text": "it failed"})),
    "resumed": Case(first=Case(steps=({"text": "first"},)), steps=({"text": "second"},)),
    "session_unknown": Case(request={"session_id": "11111111-2222-4333-8444-555555555555"}),
    "two_results": Case(
        steps=(
            {"shell": "sleep 2", "input": {"run_in_background": True}},
            {"text": "started"},
        )
    ),
    "rate_limited": Case(steps=({"status": 429, "retry_after": 1, "message": "slow down"},)),
    "overloaded": Case(steps=({"status": 529, "message": "Overloaded"},)),
    "server_error": Case(steps=({"status": 500, "message": "broken"},)),
    "wrong_key": Case(steps=({"status": 401, "message": "invalid x-api-key"},)),
    "forbidden": Case(steps=({"status": 403, "message": "forbidden"},)),
    "no_credit": Case(
        steps=({"status": 400, "message": "Your credit balance is too low to access the API."},)
    ),
    "no_key": Case(environment={"ANTHROPIC_API_KEY": ""}),
    "unreachable": Case(environment={"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}),
    "stalled": Case(
        steps=({"text": "never said", "hang": 60},),
        environment={
            "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "10000",
            "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        },
        versions=("2.1.328",),  # 2.1.197 has no such watchdog
    ),
    "max_turns": Case(steps=({"shell": "true"},), request={"max_turns": 2}),
    "max_budget": Case(steps=({"shell": "true"},), request={"max_budget_usd": 0.0001}),
    "denied": Case(
        steps=({"shell": "rm -f hello.txt"}, {"text": "I was not allowed to"}),
        settings={"permissions": {"deny": ["Bash(rm *)"]}},
    ),
    "interrupted": Case(steps=(_WAIT, {"text": "never said"}), signal=signal.SIGINT),
    "terminated": Case(steps=(_WAIT, {"text": "never said"}), signal=signal.SIGTERM),
    "refused_as_root": Case(environment={"IS_SANDBOX": ""}),
}


DEMO_CASES = {
    "done": Case(prompt="say I will write it.\nthink hm\nwrite hello.txt: hello\nsay all done"),
    "tool_fails": Case(prompt="delete nothing-there\nsay it failed"),
    "resumed": Case(first=Case(prompt="say first"), prompt="say second"),
    "session_unknown": Case(prompt="say hi", request={"session_id": "never-heard-of"}),
    "rate_limited": Case(prompt="fail rate_limited slow down"),
    "failed": Case(prompt="say I try\nfail it is broken"),
    "exited": Case(prompt="say I try\nexit 3"),
    "garbage": Case(prompt="garbage\nsay all done"),
    "silent": Case(prompt="silent"),
    "interrupted": Case(prompt="write hello.txt: hello\nhang", signal=signal.SIGINT),
    "terminated": Case(prompt="write hello.txt: hello\nhang", signal=signal.SIGTERM),
}


class Recorder:
    """Records the cases of one version of an agent in a directory that it removes."""

    def __init__(self, agent: Agent, version: str, program: Path | None, llm: FakeLlm) -> None:
        self._agent = agent
        self._program = program
        self._llm = llm
        self._target = FIXTURES / agent.name / version

    async def record(self, name: str, case: Case) -> None:
        """Run *case* and write its two files."""
        with tempfile.TemporaryDirectory(prefix="record-") as directory:
            place = Path(directory)
            (place / "home" / ".claude").mkdir(parents=True)
            if case.settings is not None:
                settings = place / "home" / ".claude" / "settings.json"
                settings.write_text(json.dumps(case.settings))
            session = None
            if case.first is not None:
                session = (await self._run(place, "first", case.first, None))["session_id"]
                self._agent.prepare_session(
                    place / "home", place / "first", place / "work", str(session)
                )
            end = await self._run(place, "work", case, session)
            self._target.mkdir(parents=True, exist_ok=True)
            (self._target / f"{name}.json").write_text(json.dumps(end, indent=2) + "\n")
            shutil.copyfile(place / "work.lines", self._target / f"{name}.jsonl")
            sys.stdout.write(f"{self._target.name} {name}: {end}\n")

    async def _run(self, place: Path, name: str, case: Case, session: object) -> Json:
        workspace = place / name
        workspace.mkdir()
        request = self._request(case, workspace, place / "home", session)
        options = RunOptions(
            run_marker="record",
            redact=lambda text: text.replace(str(place), "/place").replace(*_sanitized(place)),
            output_path=place / f"{name}.lines",
        )
        async with run_agent(self._agent, request, options, clock=SystemClock()) as run:
            async for event in run.events():
                if event.kind is EventKind.TOOL_RESULT or event.kind is EventKind.TOOL_USE:
                    _signal(run.process.pid, case.signal)
            end = await run.process.wait()
            return {
                "code": end.code,
                "signal": end.signal,
                "stderr_tail": run.stderr_tail,
                "session_id": run.session_id,
                "resumes": request.session_id,
            }

    def _request(self, case: Case, workspace: Path, home: Path, session: object) -> AgentRequest:
        worker = {
            "PATH": os.environ["PATH"],
            "ANTHROPIC_BASE_URL": self._llm.url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_MAX_RETRIES": "1",
            **case.environment,
        }
        given: Json = {"session_id": session, **case.request}
        return AgentRequest(
            prompt=case.prompt or scripted("Do it", *case.steps),
            workspace=workspace,
            home=home,
            environment=worker,
            environment_names=tuple(worker),
            executable=None if self._program is None else str(self._program),
            **given,
        )


def _sanitized(place: Path) -> tuple[str, str]:
    """How Claude Code spells *place* in names of directories."""
    return str(place).replace("/", "-"), "-place"


def _signal(pid: int, number: int | None) -> None:
    if number is not None:
        os.kill(pid, number)


async def main(names: list[str]) -> None:
    """Record the named cases, or all."""
    with FakeLlm() as llm:
        for version in VERSIONS:
            program = installed(version)
            if program is None:
                sys.stdout.write(f"{version} is not installed\n")
                continue
            recorder = Recorder(ClaudeCode(), version, program, llm)
            for name, case in CLAUDE_CASES.items():
                if version in case.versions and (not names or name in names):
                    await recorder.record(name, case)
        for name, case in DEMO_CASES.items():
            if not names or name in names:
                await Recorder(Demo(), "1", None, llm).record(name, case)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
