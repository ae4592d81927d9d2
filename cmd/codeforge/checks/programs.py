"""The programs we start: git, and the agents with the credentials they need."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from codeforge.checks.finding import Finding, fail, ok, warn
from codeforge.wiring.isolation import open_isolation
from internal.agent import catalog
from internal.agent.base import Agent
from internal.config.settings import Settings
from internal.errors import Invalid
from internal.process.command import run_command
from internal.process.errors import CommandTimedOut, StartFailed

_GIT_SECONDS = 10
_OLDEST_GIT = (2, 36, 0)  # core.fsync and core.fsyncMethod=batch
# The releases of July 2025 (CVE-2025-48384 and others): the first safe patch of each series.
_SAFE_GIT = {43: 7, 44: 4, 45: 4, 46: 4, 47: 3, 48: 2, 49: 1, 50: 1}
_FIRST_SAFE_SERIES = max(_SAFE_GIT)


async def check_git(environ: Mapping[str, str]) -> Finding:
    """Whether git is there, and not known to be unsafe."""
    try:
        answer = await run_command(
            ("git", "--version"),
            environment={"PATH": environ.get("PATH", os.defpath)},
            cwd=Path("/"),
            timeout_seconds=_GIT_SECONDS,
            max_output_bytes=4096,
        )
    except (StartFailed, CommandTimedOut) as error:
        return fail("git", error.message, "Install git 2.36 or later.")
    return judge_git(answer.stdout.decode(errors="replace").strip())


def judge_git(said: str) -> Finding:
    """What `git --version` says, as a finding."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    if match is None:
        return warn("git", f"does not tell its version: {said[:80]!r}", "Install git itself.")
    major, minor, patch = (int(part or 0) for part in match.groups())
    if (major, minor, patch) < _OLDEST_GIT:
        return fail("git", f"{match[0]} is too old", "Install git 2.36 or later.")
    is_safe = (major, minor) > (2, _FIRST_SAFE_SERIES) or (
        major == 2 and patch >= _SAFE_GIT.get(minor, patch + 1)
    )
    if is_safe:
        return ok("git", match[0])
    return warn(
        "git",
        f"{match[0]} is from before the security fixes of July 2025 (CVE-2025-48384)",
        "Distributions back-port fixes under the old number: see that the package is up to date.",
    )


async def check_agents(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Each agent that this version can run; the default one must be able to work."""
    found = [await _check_agent(agent, settings, environ) for agent in catalog.AVAILABLE.values()]
    default = settings.cli.default
    if default not in catalog.AVAILABLE:
        advice = f"Set cli.default to one of {', '.join(catalog.AVAILABLE)}."
        found.append(fail("cli.default", f"{default} is not built into this version", advice))
    return found


async def _check_agent(agent: Agent, settings: Settings, environ: Mapping[str, str]) -> Finding:
    name = f"agent {agent.name}"
    section = agent.name.replace("-", "_")
    configured = getattr(settings.cli, section)
    probe = await agent.probe(configured.path or None, environ)
    if not probe.available:
        advice = f"Install it on the workers, or set cli.{section}.path."
        return warn(name, str(probe.reason), advice)
    message = " ".join(filter(None, (probe.executable, probe.version)))
    known = (*agent.credential_names, *configured.env)
    if agent.credential_names and not any(environ.get(variable) for variable in known):
        names = ", ".join(agent.credential_names)
        advice = f"Set one of {names} for the workers, or give each task its ai_api_key."
        return warn(name, f"{message}, without a credential", advice)
    return ok(name, message)


async def check_isolation(settings: Settings) -> Finding:
    """What stands between an agent and the machine, tried out."""
    try:
        isolation = await open_isolation(settings)
    except Invalid as error:
        return fail("isolation", error.message, "Repair it, or set workers.isolation to auto.")
    if isolation.sandbox is not None:
        return ok("isolation", "bwrap: agents see their workspace, their home and programs")
    return warn(
        "isolation",
        f"none ({isolation.reason or 'as set'}): agents see what the user of the worker sees",
        "Install bubblewrap, or run workers as a user of their own. See docs/isolation.md.",
    )
