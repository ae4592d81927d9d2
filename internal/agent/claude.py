"""
The driver of Claude Code (`claude`), for 2.1.197 and later.

The prompt goes in as one `stream-json` message and the lines come out as `stream-json`
(`claude_output`). Stdin is closed behind the prompt, or, where the program is known, behind its
result, so that it can be spoken to (`claude_dialogue`); the process ends by itself then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from internal.agent.claude_dialogue import message_line
from internal.agent.claude_output import ClaudeParser
from internal.agent.claude_session import move_session
from internal.agent.endpoint import host_of
from internal.agent.jsonline import as_session_id
from internal.agent.mcpconfig import claude_config, on_path
from internal.agent.model import (
    AgentRequest,
    Capabilities,
    Launch,
    ModelAccess,
    PrivateFile,
    Probe,
    Reporting,
)
from internal.agent.otel import otel_variables
from internal.agent.privatefile import private_path
from internal.agent.probe import probe_program
from internal.process.limits import allowed_environment

_PROGRAM = "claude"
_PRODUCT = b"(Claude Code)"
_SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_GATEWAY = "ANTHROPIC_BASE_URL"
_ENDPOINT = "https://api.anthropic.com"
_OTHER_PLATFORMS = "CLAUDE_CODE_USE_"
"""Variables that let it call the model at a cloud's own address."""
_OPTIONS = (
    "-p",
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--permission-mode",
    "bypassPermissions",
    # Settings of the repository could start programs, name another address for the model, which
    # then gets our key, and start MCP servers. What it says to the agent (CLAUDE.md) is read all
    # the same, because the workspace is also given by --add-dir.
    "--setting-sources",
    "user",
    "--strict-mcp-config",
)
_SETTINGS = {
    "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    # 0.5, 1.1, 2.3, 4.5, 8.5, 18.5 s: rides out a hiccup; a longer outage waits in the queue, not
    # in a slot.
    "CLAUDE_CODE_MAX_RETRIES": "6",
    # A stream that stalls is otherwise silent for 5 minutes. 2.1.197 ignores these two, so our
    # own limit on silence has the last word.
    "CLAUDE_ENABLE_BYTE_WATCHDOG": "1",
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "120000",
    # The call without streaming that follows a stall is tried twice: 120 + 2 * 200 s stay below
    # 600 s.
    "API_TIMEOUT_MS": "200000",
}


class ClaudeCode:
    """See `base.Agent`."""

    name = "claude-code"
    capabilities = Capabilities(resume=True, mcp=True, directive=True, budget=True)
    credential_names = _SECRETS
    model_provider = "anthropic"

    def endpoint(self, access: ModelAccess) -> str | None:
        """See `base.Agent`; the same rules as for the environment of a launch."""
        if any(name.startswith(_OTHER_PLATFORMS) for name in access.environment_names):
            return None
        if access.api_key and access.api_url:
            return host_of(access.api_url)
        has_gateway = not access.api_key or _GATEWAY in access.environment_names
        gateway = access.environment.get(_GATEWAY) if has_gateway else None
        return host_of(gateway or _ENDPOINT)

    async def probe(self, executable: str | None, environment: Mapping[str, str]) -> Probe:
        """See `base.Agent`."""
        allowed = allowed_environment(environment, home=Path("/nonexistent"))
        variables = {**allowed, **_settings()}
        return await probe_program(executable or _PROGRAM, variables, product=_PRODUCT)

    def launch(self, request: AgentRequest) -> Launch:
        """See `base.Agent`."""
        environment = _environment(request)
        files: tuple[PrivateFile, ...] = ()
        if request.mcp_servers:
            config = claude_config(request.mcp_servers, on_path(environment.get("PATH")))
            files = (PrivateFile(private_path(request.home, "mcp"), config),)
        return Launch(
            argv=_argv(request, files),
            environment=environment,
            stdin=message_line(request.prompt),
            files=files,
            close_stdin=not request.takes_input,
        )

    def parser(self, request: AgentRequest) -> ClaudeParser:
        """See `base.Agent`."""
        return ClaudeParser(resumes=request.session_id)

    def prepare_session(
        self, home: Path, old_workspace: Path, new_workspace: Path, session_id: str
    ) -> bool:
        """
        See `base.Agent`. Where the session lies is read from *home*, not from *old_workspace*.
        """
        del old_workspace
        return as_session_id(session_id) is not None and move_session(
            home, new_workspace, session_id
        )


def _argv(request: AgentRequest, mcp_configs: Sequence[PrivateFile]) -> tuple[str, ...]:
    program = request.executable or _PROGRAM
    if "/" in program:  # the process starts in the workspace, not here
        program = str(Path(program).expanduser().absolute())
    argv = [program, *_OPTIONS, "--add-dir", str(request.workspace)]
    for config in mcp_configs:
        argv += ["--mcp-config", str(config.path)]
    if request.model:
        argv += ["--model", request.model]
    if request.max_turns:
        argv += ["--max-turns", str(request.max_turns)]
    if request.max_budget_usd:
        argv += ["--max-budget-usd", _plain_number(request.max_budget_usd)]
    if request.session_id:
        argv += ["--resume", request.session_id]
    return tuple(argv)


def _environment(request: AgentRequest) -> dict[str, str]:
    """A key of the task's own replaces what the worker has, and is never sent to its gateway."""
    names = set(request.environment_names)
    if request.api_key:
        names.difference_update(_SECRETS)
    else:
        names.update(_SECRETS, [_GATEWAY])
    allowed = allowed_environment(request.environment, home=request.home, names=names)
    # Else sockets and the output of background commands lie in /tmp, for all tasks to read.
    scratch = {"CLAUDE_CODE_TMPDIR": str(request.home / ".cache" / "claude")}
    key = {"ANTHROPIC_API_KEY": request.api_key} if request.api_key else {}
    if request.api_key and request.api_url:
        key[_GATEWAY] = request.api_url
    return {**_settings(), **scratch, **_reporting(request.reporting), **allowed, **key}


def _reporting(reporting: Reporting | None) -> dict[str, str]:
    if reporting is None:
        return {}
    # Spans only come with the second variable. DISABLE_TELEMETRY is about the vendor's own.
    switches = ("CLAUDE_CODE_ENABLE_TELEMETRY", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA")
    return {**dict.fromkeys(switches, "1"), **otel_variables(reporting)}


def _settings() -> dict[str, str]:
    # As root Claude Code refuses to work without questions, unless it is told that it is contained.
    return {**_SETTINGS, "IS_SANDBOX": "1"} if os.geteuid() == 0 else dict(_SETTINGS)


def _plain_number(amount: float) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".")
