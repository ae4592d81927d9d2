"""
What a person believes about the queue, in plain Python: the model the scripts are held against.

It knows no lists, no scores and no keys: only which run of which task is where, what each verb may
do there, and whom a dead worker costs a life.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from internal.task.model import Claim
from tests.support.world import World

LIVES = 3
_COUNTS_ON = (
    *("seq", "request", "cancel_op", "pause_op", "resume_op", "iterations_used", "callbacks"),
)
"""Fields that a restored document may differ in."""


@dataclass
class Known:
    """One task as the model believes it to be."""

    ref: str
    gates: tuple[str, ...]
    dedup: str = ""
    status: str = "pending"
    kind: str = "create"
    iteration: int = 1
    used: int = 1
    attempt: int = 0
    lost: int = 0
    claim: Claim | None = None
    worker: str = ""
    cancel: bool = False
    pause: bool = False
    kept: bool = False
    """The run has recorded work of its own at a pause."""
    pushing: bool = False
    has_work: bool = False
    before: Known | None = None
    frozen: tuple[dict[str, str], dict[str, str]] | None = None
    finals: int = 0

    @property
    def is_finished(self) -> bool:
        return self.status in {"completed", "failed", "pr_created"}

    @property
    def lane(self) -> str:
        if self.lost >= LIVES - 1:
            return "alone"
        return "publish" if self.kind == "publish" else "agent"

    @property
    def queued_status(self) -> str:
        if self.kind == "publish":
            return "creating_pr"
        return "pending" if self.iteration == 1 else "awaiting_instruction"

    def begin(self, kind: str, world: World) -> None:
        """INSTRUCT, RETRY and PUBLISH."""
        self.before = dataclasses.replace(self)
        self.frozen = frozen(world, self.ref)
        self.kind = kind
        if kind == "instruct":
            self.used += 1
            self.iteration = self.used
        self.status = self.queued_status
        self.attempt = self.lost = 0
        if kind == "retry":
            self.has_work = False  # that of this iteration; asked for again by the caller

    def claimed(self, claim: Claim, worker: str) -> None:
        self.claim, self.worker = claim, worker
        self.attempt += 1
        if self.kind != "publish":
            self.status = "cloning"

    def given_back(self) -> None:
        self.claim, self.pushing = None, False
        self.status = "paused" if self.pause else self.queued_status
        self.pause = False

    def suspended(self, *, kept: bool) -> None:
        self.claim, self.pause, self.status = None, False, "paused"
        self.kept = self.kept or kept

    def ended(self, status: str) -> None:
        """A run is over and nothing of its beginning is put back."""
        self.claim, self.cancel, self.pushing = None, False, False
        self.pause = self.kept = False
        self.before = self.frozen = None
        self.status = status
        self.finals += 1

    def put_back(self, world: World, *, pr_error: bool) -> None:
        """A run is over and the document of before is there again, whole."""
        before = self.before
        assert before is not None
        assert self.frozen is not None
        document, rows = self.frozen
        now, now_rows = frozen(world, self.ref)
        if self.kept and self.kind == "instruct":  # its work is the newest, and stays
            newest = ("home", "truncated", "changes")
            document, now = without(document, *newest), without(now, *newest)
        if pr_error:
            document = without(document, "pr_error", "pr_reason", "op")
            now = without(now, "pr_error", "pr_reason", "op")
        assert now == document, "the document was not put back whole"
        assert {name: now_rows[name] for name in rows} == rows, "a row was not put back whole"
        finals, used = self.finals, self.used
        for name in (f.name for f in dataclasses.fields(self)):
            setattr(self, name, getattr(before, name))
        self.finals, self.used = finals + 1, used
        self.before = self.frozen = None

    def lost_worker(self, world: World) -> None:
        """REAP charged it; *world* is what it left."""
        self.lost += 1
        if not self.cancel and self.lost < LIVES:
            return self.given_back()
        return self.cancelled_while_leased(world)

    def cancelled_while_leased(self, world: World) -> None:
        """REAP found a cancelled one whose claim was never heard of."""
        if self.kind == "publish":
            return self.put_back(world, pr_error=True)
        return self.ended("failed")

    def cancelled(self, world: World) -> None:
        """A cancel of what is queued."""
        if self.before is not None:
            return self.put_back(world, pr_error=self.kind == "publish")
        return self.ended("failed")

    def agrees(self, world: World) -> None:
        """Its document says what is believed."""
        document = world.document(self.ref)
        believed = {
            "status": self.status,
            "iteration": str(self.iteration),
            "attempt": str(self.attempt),
            "lost": str(self.lost),
            "token": self.claim.token if self.claim else None,
            "cancel": "1" if self.cancel else None,
            "pause": "1" if self.pause else None,
            "pushing": "1" if self.pushing else None,
        }
        defaults = {"attempt": "0", "lost": "0"}
        found = {name: document.get(name, defaults.get(name)) for name in believed}
        assert found == believed
        names = ("result/task_completed", "system/task_failed", "git/pr_created", "git/pr_failed")
        assert sum(name in names for name in world.names(self.ref)) == self.finals


@dataclass
class Worker:
    """A worker process; the alone ones have one slot and take only what lost two workers."""

    name: str
    home: str
    alone: bool = False
    claims: list[Claim] = field(default_factory=list[Claim])


def frozen(world: World, ref: str) -> tuple[dict[str, str], dict[str, str]]:
    """What a restore must bring back: the document but for what counts on, and all rows."""
    return without(world.document(ref), *_COUNTS_ON), world.rows(ref)


def without(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in names}
