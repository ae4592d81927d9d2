"""
What every agent CLI is to us: data in, events out.

A driver builds argv, environment and stdin, and a parser turns output lines into events and the
end of the run into a verdict. Neither owns a process, a clock or a file of ours: `agent.run` and
the process layer do, so all drivers can be tested with recorded lines (tests/contract).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from internal.agent.model import (
    AgentEvent,
    AgentRequest,
    AgentResult,
    Capabilities,
    ExitStatus,
    Launch,
    ModelAccess,
    Probe,
    Usage,
)


class Parser(Protocol):
    """Reads the output of one run, line by line. Nothing in it raises, whatever the lines hold."""

    @property
    def session_id(self) -> str | None:
        """
        The agent's own session, from the first line that names it; kept when the run is killed.
        """
        ...

    @property
    def usage(self) -> Usage:
        """What this run used as far as its lines told, never the sum of a resumed session."""
        ...

    def parse(self, line: bytes) -> list[AgentEvent]:
        """The events of one line, without its newline; none for a blank one."""
        ...

    def result(self, status: ExitStatus) -> AgentResult:
        """The verdict; call it once, after the end of output and of the process."""
        ...


class Agent(Protocol):
    """One CLI. Stateless: all that varies comes with the request."""

    @property
    def name(self) -> str:
        """As in `config.cli`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the CLI can do through this driver."""
        ...

    @property
    def credential_names(self) -> tuple[str, ...]:
        """
        Variables of the worker that hold a credential for the model, each of them enough; empty
        when it needs none. Their values are secrets.
        """
        ...

    @property
    def model_provider(self) -> str | None:
        """Whose registered key the CLI takes as `api_key`; None when it takes none."""
        ...

    def endpoint(self, access: ModelAccess) -> str | None:
        """
        The host that a run with this access calls for its model, as `endpoint.host_of` spells it.

        None: it calls none, or nobody can tell.
        """
        ...

    async def probe(self, executable: str | None, environment: Mapping[str, str]) -> Probe:
        """
        Whether the CLI can run here; *executable* None looks for its usual name on PATH.

        An executable file is available, whatever `--version` says within its 5 seconds.
        """
        ...

    def launch(self, request: AgentRequest) -> Launch:
        """
        What to start. The environment is complete and an allow-list; the prompt is never in argv.
        """
        ...

    def parser(self, request: AgentRequest) -> Parser:
        """A new parser for the run of *request*."""
        ...

    def prepare_session(
        self, home: Path, old_workspace: Path, new_workspace: Path, session_id: str
    ) -> bool:
        """
        Make the session in *home*, a copy, resumable from *new_workspace*; False when it is not
        there.

        *home* was written by an agent: links in it are not followed, and nothing outside is
        touched.
        """
        ...
