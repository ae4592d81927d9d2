"""
What a person believes about the queue, in plain Python: the model the scripts are held against.

It knows no lists, no scores and no keys: only which run of which task is where, what each verb may
do there, and whom a dead worker costs a life. What runs use is in `queue_bill`, what was said to
them in `queue_said`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from internal.agent.model import NO_USAGE, Usage
from internal.task.model import Claim
from tests.support.queue_bill import Bill, plus
from tests.support.queue_said import Said
from tests.support.world import World

LIVES = 3
_COUNTS_ON = (
    *("seq", "request", "cancel_op", "pause_op", "resume_op", "iterations_used", "callbacks"),
    *("directive_op", "usage_total", "unpriced_total"),
)
"""Fields that a restored document may differ in."""


@dataclass
class Known:
    """One task as the model believes it to be."""

    ref: str
    gates: tuple[str, ...]
    bill: Bill
    dedup: str = ""
    said: Said = field(default_factory=Said)
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
    usage: Usage = NO_USAGE
    """Of this iteration."""
    paused_usage: Usage = NO_USAGE
    """Of this iteration, up to its newest pause."""

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

    def begin(self, kind: str, world: World | None) -> None:
        """INSTRUCT, RETRY and PUBLISH; *world* is none when nobody saw the task finished."""
        self.before = dataclasses.replace(self)
        self.frozen = frozen(world, self.ref) if world else None
        self.kind = kind
        self.bill.rows[self.iteration] = self.usage
        if kind != "publish":
            self.usage = NO_USAGE
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

    def report(self, usage: Usage, day: str) -> None:
        """What this attempt has used so far."""
        self.usage = plus(self.usage, self.bill.report(usage, self.gates, day))

    def given_back(self) -> None:
        self._let_go(recorded=False)
        self.usage = self.paused_usage if self.kind != "publish" else self.usage
        self.status = "paused" if self.pause else self.queued_status
        self.pause = False

    def suspended(self, *, kept: bool) -> None:
        self._let_go(recorded=kept)
        self.pause, self.status = False, "paused"
        self.kept = self.kept or kept
        self.paused_usage = self.usage

    def _let_go(self, *, recorded: bool) -> None:
        self.claim, self.pushing = None, False
        self.bill.settle()
        self.said.claim_ended(recorded=recorded)

    def ended(self, status: str, *, recorded: bool = True, canceled: bool = False) -> None:
        """A run is over and nothing of its beginning is put back."""
        if canceled:
            self.said.drop()
        self._let_go(recorded=recorded)
        self.cancel = self.pause = self.kept = False
        self.before = self.frozen = None
        self.paused_usage = NO_USAGE
        self.status = status
        self.finals += 1
        self._begin_next()

    def _begin_next(self) -> None:
        """In the step that ends a run: what waits to be said begins the next one."""
        if self.said.waiting:
            self.begin("instruct", None)
            self.said.begin_next(self.iteration)

    def put_back(self, world: World, *, pr_error: bool, canceled: bool = False) -> None:
        """A run is over and the document of before is there again, whole."""
        before = self.before
        assert before is not None
        if canceled:
            self.said.drop()
        self._let_go(recorded=False)
        if self.kind == "instruct":
            self.bill.rows[self.iteration] = self.usage
        if self.frozen and not self.said.waiting:
            self._check_put_back(world, *self.frozen, pr_error=pr_error)
        finals, used = self.finals, self.used
        for name in (f.name for f in dataclasses.fields(self)):
            setattr(self, name, getattr(before, name))
        self.finals, self.used = finals + 1, used
        self.before = self.frozen = None
        self._begin_next()

    def _check_put_back(
        self, world: World, document: dict[str, str], rows: dict[str, str], *, pr_error: bool
    ) -> None:
        now, now_rows = frozen(world, self.ref)
        if self.kept and self.kind == "instruct":  # its work is the newest, and stays
            newest = ("home", "truncated", "changes")
            document, now = without(document, *newest), without(now, *newest)
        if pr_error:
            document = without(document, "pr_error", "pr_reason", "op")
            now = without(now, "pr_error", "pr_reason", "op")
        assert now == document, "the document was not put back whole"
        assert {name: now_rows[name] for name in rows} == rows, "a row was not put back whole"

    def lost_worker(self, world: World) -> None:
        """REAP charged it; *world* is what it left."""
        self.lost += 1
        if not self.cancel and self.lost < LIVES:
            return self.given_back()
        return self.cancelled_while_leased(world)

    def cancelled_while_leased(self, world: World) -> None:
        """REAP found a cancelled one whose claim was never heard of."""
        if self.kind == "publish":
            return self.put_back(world, pr_error=True, canceled=self.cancel)
        return self.ended("failed", recorded=False, canceled=self.cancel)

    def cancelled(self, world: World) -> None:
        """A cancel of what is queued."""
        if self.before is not None:
            return self.put_back(world, pr_error=self.kind == "publish", canceled=True)
        return self.ended("failed", canceled=True)

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
        self.bill.agrees(world, self.ref, self.usage, self.iteration)
        self.said.agrees(world, self.ref)


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
