"""How much of an agent's output becomes events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from internal.agent.budget import BRIEF_BYTES, TAIL_BYTES, EventBudget, EventLimits
from internal.agent.clip import event_bytes
from internal.agent.model import AgentEvent, EventKind

LIMITS = EventLimits(max_bytes=10_000, max_event_bytes=2_000)


def text(content: str, kind: EventKind = EventKind.TEXT) -> AgentEvent:
    """An event of the agent with its line as `raw`."""
    return AgentEvent(kind=kind, data={"text": content}, raw={"type": kind, "text": content})


def feed(
    budget: EventBudget, events: list[AgentEvent]
) -> tuple[list[AgentEvent], list[AgentEvent]]:
    """What was given while the events came, and what came at the end."""
    given = [budget.admit(event, len(event.data["text"]) + 30) for event in events]
    return [event for event in given if event is not None], budget.tail()


def keep(text: str) -> str:
    """A redaction that finds nothing."""
    return text


def test_small_output_is_given_whole_and_at_once() -> None:
    """Nothing is held back, and nothing says that anything was."""
    events = [text(f"step {number}") for number in range(50)]

    given, tail = feed(EventBudget(LIMITS, keep), events)

    assert given == events
    assert tail == []


def test_past_the_limit_text_and_tool_use_go_on_cut() -> None:
    """Who watches still sees what the agent does; results of tools are dropped."""
    flood = [text("x" * 1_500) for _ in range(20)]
    after = [text("y" * 1_500), text("z", EventKind.TOOL_USE), text("t", EventKind.TOOL_RESULT)]

    given, _ = feed(EventBudget(LIMITS, keep), flood + after)

    brief = given[-2:]
    assert [event.kind for event in brief] == [EventKind.TEXT, EventKind.TOOL_USE]
    assert brief[0].data["truncated"] is True
    assert all(event_bytes(event) <= 256 and event.raw is None for event in brief)


def test_a_flood_ends_with_what_was_dropped_and_the_last_of_it() -> None:
    """One `truncated`, then the last 256 KiB, whole, in order."""
    flood = [text(f"{number:06d}" + "x" * 1_000) for number in range(20_000)]
    result = text("the end", EventKind.RESULT)

    given, tail = feed(EventBudget(LIMITS, keep), [*flood, result])

    assert [event.kind for event in tail].count(EventKind.TRUNCATED) == 1
    assert tail[0].kind is EventKind.TRUNCATED
    assert tail[-1] == result
    assert tail[1:-1] == flood[-len(tail[1:-1]) :]
    assert TAIL_BYTES * 0.9 < sum(map(event_bytes, tail[1:])) <= TAIL_BYTES
    assert sum(map(event_bytes, given)) <= LIMITS.max_bytes + BRIEF_BYTES


def test_every_event_is_given_or_counted() -> None:
    """`dropped_events` is exact."""
    flood = [text("x" * 1_000) for _ in range(10_000)]

    given, tail = feed(EventBudget(LIMITS, keep), flood)

    dropped = tail[0].data
    assert len(given) + len(tail) - 1 + dropped["dropped_events"] == len(flood)
    assert dropped["dropped_bytes"] >= dropped["dropped_events"] * 1_000


def test_a_result_behind_the_limit_still_comes() -> None:
    """It is in the tail; nothing was dropped, so nothing says so."""
    given, tail = feed(
        EventBudget(EventLimits(max_bytes=100), keep), [text("result", EventKind.RESULT)] * 2
    )

    assert [event.kind for event in given + tail] == [EventKind.RESULT, EventKind.RESULT]


def test_what_is_dropped_is_never_searched_for_secrets() -> None:
    """Searching is what makes a flood expensive."""
    searched: list[int] = []

    def redact(content: str) -> str:
        searched.append(len(content))
        return content

    budget = EventBudget(LIMITS, redact)
    feed(budget, [text("x" * 1_000, EventKind.TOOL_RESULT) for _ in range(50_000)])

    assert sum(searched) < 4 * (LIMITS.max_bytes + TAIL_BYTES)


def test_held_events_take_bounded_memory() -> None:
    """A line of megabytes is cut before it is held."""
    budget = EventBudget(LIMITS, keep)
    huge = [text("x" * 3_000_000, EventKind.TOOL_RESULT) for _ in range(10)]

    given, tail = feed(budget, [*[text("y" * 1_900)] * 10, *huge])

    assert all(event_bytes(event) <= LIMITS.max_event_bytes for event in tail)
    assert tail[-1].data["truncated"] is True
    assert len(given) < 20


def test_many_large_inputs_cost_little_searching() -> None:
    """Thousands of short strings in one call are not worth it."""
    searched: list[int] = []

    def redact(content: str) -> str:
        searched.append(len(content))
        return content

    many = {str(number): "x" * 100 for number in range(20_000)}
    event = AgentEvent(kind=EventKind.TOOL_USE, data={"id": "1", "name": "Edit", "input": many})
    budget = EventBudget(LIMITS, redact)

    given = [budget.admit(event, 2_200_000) for _ in range(10)]

    assert given[0] is not None
    assert given[0].data["input"] == "[too large]"
    assert sum(searched) < 10_000


@given(
    sizes=st.lists(st.integers(0, 4_000), max_size=60),
    kinds=st.lists(st.sampled_from([*EventKind][:8]), min_size=60, max_size=60),
    limit=st.integers(0, 30_000),
)
def test_the_limits_hold_for_any_output(
    sizes: list[int], kinds: list[EventKind], limit: int
) -> None:
    """Bytes given never exceed the budget, its brief part and its tail."""
    events = [text("é" * size, kind) for size, kind in zip(sizes, kinds, strict=False)]

    given, tail = feed(EventBudget(EventLimits(max_bytes=limit), keep), events)

    assert sum(map(event_bytes, given)) <= limit + BRIEF_BYTES
    assert sum(map(event_bytes, tail)) <= TAIL_BYTES + 100
    counted = tail[0].data["dropped_events"] if tail and tail[0].kind == "truncated" else 0
    told = [event for event in given + tail if event.kind is not EventKind.TRUNCATED]
    assert len(told) + counted == len(events)
