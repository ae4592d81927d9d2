"""
What execution control does in a history of the queue: usage, directives and judgements of runs.

Workers tell what they use and learn, clients say something to tasks that run; the models of it
(`queue_bill`, `queue_said`, `queue_shutters`) say what must come of it.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from internal.agent.model import NO_USAGE, Usage
from internal.control.breaker import BreakerRule, Sample
from internal.control.quota import Shut
from internal.task.judgement import Judgement
from internal.task.model import Claim
from tests.support.queue_bill import plus
from tests.support.queue_history import BREAKER, QUOTA, QueueHistory
from tests.support.queue_model import Known
from tests.support.queue_said import MOST, Directive
from tests.support.queue_shutters import Outcome
from tests.support.world import World

T = TypeVar("T")
RULE = BreakerRule(
    window_seconds=20,
    minimum_calls=3,
    failure_rate=0.6,
    slow_rate=0.6,
    slow_seconds=10,
    consecutive=2,
    pause_seconds=5,
    longest_pause_seconds=12,
)
_DAY_MILLIS = 86_400_000
_STEPS = (
    Usage(input_tokens=4, output_tokens=1, cost_usd=0.25, unpriced_tokens=1),
    Usage(cache_read_tokens=9, cache_creation_tokens=2, duration_seconds=0.5, cost_usd=0.5),
    Usage(input_tokens=3, turns=1),
    Usage(output_tokens=1, cost_usd=-0.25),  # an estimate was too high
)


class ControlHistory(QueueHistory):
    """Actions on what runs; what they draw comes from the history's own data."""

    _data: st.DataObject

    def spend(self) -> None:
        """A worker tells what its run has used: something more, the same, or a better estimate."""
        held = self._agents_held()
        if not held:
            return
        claim = self._one_of(held)
        task = self._by_claim(claim)
        usage = self._used(task)
        usage = task.bill.attempt if usage == NO_USAGE else usage
        rows = self.do(self.lab.queue.spend(claim, usage))
        self._report(task, usage)
        limits, day = self._look().get("limits"), self._today()
        assert [(f"budget:{row.scope}:{row.unit}", row.used, row.limit) for row in rows] == [
            (f"{gate}:{unit}", spent, float(limits[f"{gate}:{unit}"]))
            for gate in task.gates
            if gate.startswith("budget:")
            for unit, spent in self.ledger.spent(gate, day).items()
            if float(limits.get(f"{gate}:{unit}", 0)) > 0
        ]

    def direct(self) -> None:
        """A client says something; mostly to what runs."""
        if not self.tasks:
            return
        held = self._held()
        task = self._by_claim(self._one_of(held)) if held and self._flip() else self._some_task()
        said, name = task.said, f"d{next(self.numbers)}"
        for_agent = bool(task.claim and said.listens and not task.pause)
        answer = self.do(self.lab.direct(task.ref, f"say {name}", name))
        if task.cancel or task.is_finished:
            why = "being cancelled" if task.cancel else task.status
            assert (answer.word, answer.rest) == ("illegal", (why,))
        elif len(said.waiting) == MOST:
            assert answer.word == "full"
        else:
            delivery = "running" if for_agent else "next"
            assert (answer.word, answer.rest) == ("ok", (task.status, delivery))
            said.say(Directive(name, f"say {name}", for_agent))

    def listen(self) -> None:
        """A worker's agent takes input or not, and has taken up some of what it was told."""
        held = self._agents_held()
        if not held:
            return
        claim = self._one_of(held)
        said = self._by_claim(claim).said
        waiting = [name for name, _ in said.for_agent()] if said.listens else []
        heard = {*said.heard, *waiting[: self._one_of([0, 1, MOST])]}
        takes_input = self._one_of([True, True, False])
        got = self.do(self.lab.queue.listen(claim, takes_input=takes_input, heard=sorted(heard)))
        assert got == said.listen(heard, takes_input=takes_input)

    def judge(self) -> None:
        """A worker tells what its run has learned of its agent and its key."""
        held = self._agents_held()
        if held:
            claim = self._one_of(held)
            self._judge(self._by_claim(claim), claim)

    def _judge(self, task: Known, claim: Claim) -> None:
        failed, slow = self._one_of([True, True, False]), self._one_of([False, False, True])
        works = () if failed else self._one_of([(), (BREAKER,), (BREAKER, QUOTA)])
        sample = Sample(key=BREAKER, failed=failed, rule=RULE, seconds=11 if slow else 1)
        shut = (
            [Shut(key=QUOTA, seconds=6, why="quota_exhausted")] if self._one_of([0, 0, 1]) else []
        )
        before, now = self._look(), self.do(self.lab.now())
        told = Judgement(works=works, samples=[sample], shut=shut)
        self.do(self.lab.queue.judge(claim, told, self.lab.operation()))
        world = self._look()
        events = world.names(task.ref)[len(before.names(task.ref)) :]
        believed = self._confirmed(works, now)
        tenant = task.ref.partition("/")[0]
        if self._weighed(claim, Outcome(now, tenant, failed, slow), world):
            believed.append("control/breaker_opened")
        assert events == believed
        quota = self.shutters[QUOTA]
        if shut and (quota.until is None or quota.until < now + 6_000):
            quota.shut(now + 6_000)

    def _confirmed(self, works: Sequence[str], now: int) -> list[str]:
        """The first success behind a pause opens the gate, whoever's it is."""
        events: list[str] = []
        for key in works:
            if self.shutters[key].is_half_open(now):
                self.shutters[key].open()
                events += ["control/breaker_closed"] if key == BREAKER else []
        return events

    def _weighed(self, claim: Claim, outcome: Outcome, world: World) -> bool:
        """Whether the breaker opened; *world* decides only where the window's edge is blurred."""
        breaker = self.shutters[BREAKER]
        recent = [at for at in world.get("tenants").values() if at >= outcome.at - _DAY_MILLIS]
        opens = breaker.judged(claim, outcome, RULE, is_shared=len(recent) > 1)
        if opens is None:
            opens = bool(world.get(f"gate:{BREAKER}:until"))
        if opens:
            breaker.shut(outcome.at + breaker.pause_of(RULE))
        return opens

    # -- choices

    def _used(self, task: Known) -> Usage:
        """What an attempt could have used by now, or nothing, when it has no news."""
        step = self._one_of([None, *_STEPS])
        if step is None or (step.cost_usd < 0 and not task.bill.attempt.cost_usd):
            return NO_USAGE
        return plus(task.bill.attempt, step)

    def _report(self, task: Known, usage: Usage) -> None:
        """The scripts took it; without any, what was told before stands."""
        if usage != NO_USAGE:
            task.report(usage, self._today())

    def _agents_held(self) -> list[Claim]:
        return [claim for claim in self._held() if self._by_claim(claim).kind != "publish"]

    def _some_task(self) -> Known:
        return self._one_of(list(self.tasks.values()))

    def _some_claim(self) -> tuple[Known, Claim]:
        claim = self._one_of(self._held())
        return self._by_claim(claim), claim

    def _one_of(self, items: Sequence[T]) -> T:
        return items[self._data.draw(st.integers(0, len(items) - 1))]

    def _flip(self) -> bool:
        return self._data.draw(st.booleans())
