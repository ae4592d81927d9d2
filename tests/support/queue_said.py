"""
What was said to a task while it was not finished: the model of DIRECT and LISTEN.

Each directive has one fate: an agent took it up and its session is recorded, or it is the prompt
of the next iteration, or a cancel dropped it. Until then it waits, in the order of all.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.support.world import World

MOST = 16


@dataclass(frozen=True)
class Directive:
    """One of them; *to_agent*: it was for the agent that ran when it was said."""

    id: str
    text: str
    to_agent: bool


@dataclass
class Said:
    """To one task."""

    waiting: list[Directive] = field(default_factory=list[Directive])
    listens: bool = False
    rings: bool = False
    """Something waits that the worker has not fetched."""
    heard: frozenset[str] = frozenset()
    told: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What the log says of them: id and delivery."""
    prompts: dict[int, str] = field(default_factory=dict[int, str])
    """Of the iterations that began with one."""

    def say(self, directive: Directive) -> None:
        self.waiting.append(directive)
        self.told.append((directive.id, "running" if directive.to_agent else "next"))
        self.rings = self.rings or directive.to_agent

    def listen(self, heard: Collection[str], *, takes_input: bool) -> list[tuple[str, str]]:
        """What the worker gets: what is for an agent and was not taken up in this claim."""
        self.listens, self.rings, self.heard = takes_input, False, frozenset(heard)
        return self.for_agent() if takes_input else []

    def for_agent(self) -> list[tuple[str, str]]:
        return [(d.id, d.text) for d in self.waiting if d.to_agent and d.id not in self.heard]

    def claim_ended(self, *, recorded: bool) -> None:
        """What was heard counts if the session that heard it is recorded; else nobody heard it."""
        if recorded:
            self.waiting = [d for d in self.waiting if d.id not in self.heard]
        self.listens, self.rings, self.heard = False, False, frozenset()

    def drop(self) -> None:
        """A cancelled task is told nothing any more."""
        self.claim_ended(recorded=False)
        self.told += [(d.id, "dropped") for d in self.waiting]
        self.waiting = []

    def begin_next(self, iteration: int) -> None:
        """The oldest is the prompt of *iteration*."""
        directive = self.waiting.pop(0)
        self.told.append((directive.id, "next"))
        self.prompts[iteration] = directive.text

    def agrees(self, world: World, ref: str) -> None:
        """What waits, waits in this order; the log and the prompts say what became of the rest."""
        tenant, _, task = ref.partition("/")
        waiting = world.get(f"tenant:{tenant}:task:{task}:directives")
        assert [json.loads(entry)["id"] for entry in waiting] == [d.id for d in self.waiting]
        found = [e["data"] for e in world.events(ref) if e["event"] == "directive"]
        assert [(data["id"], data["delivery"]) for data in found] == self.told
        rows = world.rows(ref)
        assert {n: rows[f"{n}.prompt"] for n in self.prompts} == self.prompts
