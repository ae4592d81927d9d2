"""
What a trace shows of a run: its wait, its attempt, its steps, the agent and each of its tools.

    task.queue            from the request to the first claim
    task.execute          one attempt
      task.clone          mirror, checkout, session
      task.run
        invoke_agent A    the process; a second one when its session was lost
          execute_tool T  from the agent's call of a tool to its result
      task.record         snapshot and diff
      task.report         the end, in Redis
    task.publish          one attempt of a create-pr
      publish.prepare     the recorded work, its checks, the commit
      git.push
      pull_request.open   with the calls to the host
      task.report

The run goes on in the trace of the request that queued it, whatever process it runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from internal.agent.base import Agent
from internal.agent.model import AgentEvent, AgentResult, Ending, EventKind
from internal.task.model import Claim
from internal.telemetry import semconv
from internal.telemetry.tracing import (
    Kind,
    OpenSpan,
    Span,
    Value,
    continue_from,
    is_on,
    past_span,
    span,
)

Observe = Callable[[AgentEvent], None]

_MOST_TOOLS = 1_000
"""Spans of tools in a run; an agent can print calls faster than anybody reads them."""
_LONGEST_NAME = 64
_LONGEST_CALL = 256


@contextmanager
def attempt_span(claim: Claim) -> Generator[Span]:
    """Around one attempt of a run, in the trace of its request; the wait before it comes first."""
    task = claim.task
    attributes: dict[str, Value] = {
        semconv.TASK_ID: task.id,
        semconv.TASK_ITERATION: task.iteration,
        semconv.TENANT: task.tenant,
    }
    name = "task.publish" if claim.publish else "task.execute"
    with continue_from(claim.traceparent):
        if claim.queued_seconds is not None:
            past_span("task.queue", claim.queued_seconds, **attributes)
        attributes |= {semconv.ATTEMPT: claim.attempt, semconv.WORKER: claim.worker}
        with span(name, Kind.CONSUMER, **attributes) as current:
            yield current


def agent_span(
    agent: Agent, *, task: str, model: str | None, version: str | None
) -> AbstractContextManager[Span]:
    """Around one process of an agent."""
    attributes: dict[str, Value] = {
        semconv.GEN_AI_OPERATION: semconv.INVOKE_AGENT,
        semconv.GEN_AI_PROVIDER: agent.model_provider,
        semconv.GEN_AI_AGENT: agent.name,
        semconv.GEN_AI_AGENT_VERSION: version,
        semconv.GEN_AI_CONVERSATION: task,
        semconv.GEN_AI_REQUEST_MODEL: model,
    }
    return span(f"{semconv.INVOKE_AGENT} {agent.name}", **attributes)


def tell_result(current: Span, result: AgentResult) -> None:
    """How the agent ended and what it used."""
    usage = result.usage
    attributes: dict[str, Value] = {
        semconv.GEN_AI_RESPONSE_MODEL: usage.model,
        semconv.GEN_AI_INPUT_TOKENS: usage.input_tokens,
        semconv.GEN_AI_OUTPUT_TOKENS: usage.output_tokens,
        semconv.GEN_AI_CACHE_READ_TOKENS: usage.cache_read_tokens,
        semconv.GEN_AI_CACHE_CREATION_TOKENS: usage.cache_creation_tokens,
        semconv.COST_USD: usage.cost_usd,
    }
    current.set(**attributes)
    if result.ending is not Ending.COMPLETED:
        current.fail(result.ending.value, result.message)


@contextmanager
def tool_spans(redact: Callable[[str], str]) -> Generator[Observe | None]:
    """
    What is to see the events of an agent, so that each tool it uses has a span; None without
    tracing. *redact* takes the run's secrets out of names, which an agent can choose.
    """
    if not is_on():
        yield None
        return
    tools = _ToolSpans(redact)
    try:
        yield tools.see
    finally:
        tools.close()


class _ToolSpans:
    """A span has a tool's name and call, never its input or output."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._open: dict[str, OpenSpan] = {}
        self._left = _MOST_TOOLS

    def see(self, event: AgentEvent) -> None:
        """Begin or end a span, when the event is about a tool."""
        call = event.data.get("id")
        if not isinstance(call, str) or not 0 < len(call) <= _LONGEST_CALL:
            return
        if event.kind is EventKind.TOOL_USE:
            self._begin(call, event.data.get("name"))
        elif event.kind is EventKind.TOOL_RESULT and (opened := self._open.pop(call, None)):
            opened.end("tool_error" if event.data.get("is_error") is True else None)

    def close(self) -> None:
        """End what has no result: the agent was ended, or forgot to tell."""
        for opened in self._open.values():
            opened.end("unfinished")
        self._open.clear()

    def _begin(self, call: str, name: object) -> None:
        if self._left == 0 or call in self._open:
            return
        self._left -= 1
        tool = "unknown"
        if isinstance(name, str):
            tool = self._redact(name[:_LONGEST_CALL])[:_LONGEST_NAME]
        self._open[call] = OpenSpan(
            f"{semconv.EXECUTE_TOOL} {tool}",
            **{
                semconv.GEN_AI_OPERATION: semconv.EXECUTE_TOOL,
                semconv.GEN_AI_TOOL: tool,
                semconv.GEN_AI_TOOL_CALL: self._redact(call),
            },
        )
