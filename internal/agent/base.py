"""
What every agent CLI is to us: data in, events out.

A driver builds argv, environment and stdin, and a parser turns output lines into events and the
end of the run into a verdict. Neither owns a process, a clock or a file of ours: `agent.run` and
the process layer do, so all drivers can be tested with recorded lines (tests/contract).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Dialogue(Protocol):
    """How to speak to one running agent whose stdin was left open; its parser feeds it."""

    @property
    def is_open(self) -> bool:
        """The agent has said that it takes input, and has not come to its result."""
        ...

    @property
    def is_over(self) -> bool:
        """It takes none, or none any more: its stdin is to be closed."""
        ...

    @property
    def confirms(self) -> bool:
        """Its lines can tell what it has heard; known once it has said so."""
        ...

    @property
    def heard(self) -> Sequence[str]:
        """Ids of what was said that the agent has confirmed to be before its model."""
        ...

    def say(self, directive: str, text: str) -> bytes:
        """What to write to say *text* under the id *directive*."""
        ...

    def interrupt(self) -> bytes:
        """What to write so that it stops where it is, and prints its result."""
        ...

    def give_up(self) -> None:
        """Nobody waits any longer for a word that it takes input."""
        ...


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

    @property
    def dialogue(self) -> Dialogue | None:
        """None: this CLI takes nothing but its prompt."""
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
