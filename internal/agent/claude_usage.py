"""
What one run of Claude Code used, from lines that count in several ways.

2.1.328 says in `model_usage_since_last_result` what each result adds, and its sums cover the whole
resumed session; the sums of 2.1.197 cover the process, which is what we want. `usage` covers the
time since the last result, but is zero in some failures. And each `assistant` line repeats its
message's usage for every block, with the output tokens as they stood at the message's start: an
estimate, taken only where no result came.
"""

from __future__ import annotations

from collections import Counter

from internal.agent.jsonline import as_amount, as_count, as_object, as_text
from internal.agent.model import Json, Usage

_UNSETTLED, _ID_CHARACTERS = 4096, 128  # far beyond real runs; a flood shall not fill the memory

_SINCE_LAST = "model_usage_since_last_result"
_OF_API = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_creation_tokens": "cache_creation_input_tokens",
}
_OF_MODEL = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_tokens": "cacheReadInputTokens",
    "cache_creation_tokens": "cacheCreationInputTokens",
}


class ClaudeUsage:
    """Adds up the lines of one process; `total` may be read at any time."""

    def __init__(self) -> None:
        self._tokens: Counter[str] = Counter()
        self._cost_usd = 0.0
        self._milliseconds = 0.0
        self._turns = 0
        self._unsettled: set[str] = set()
        self._estimate: Counter[str] = Counter()
        self._turns_begun = 0
        self._model: str | None = None

    def add_init(self, line: Json) -> None:
        """A `system/init` line names the model."""
        self._model = as_text(line.get("model")) or self._model

    def add_message(self, message: Json, *, is_subagent: bool = False) -> None:
        """
        The `message` of an `assistant` line; lines with the same id count once, and those of
        sub-agents are no turns of the run.
        """
        self._model = self._model or as_text(message.get("model")) or None
        identity = as_text(message.get("id"))[:_ID_CHARACTERS]
        is_new = identity != "" and identity not in self._unsettled
        if is_new and len(self._unsettled) < _UNSETTLED:
            self._unsettled.add(identity)
            self._estimate.update(_tokens(as_object(message.get("usage")), _OF_API))
            self._turns_begun += not is_subagent

    def add_result(self, line: Json) -> None:
        """A `result` line settles everything since the one before it."""
        self._unsettled.clear()
        self._estimate.clear()
        self._turns_begun = 0
        self._milliseconds += as_amount(line.get("duration_ms"))
        self._turns += as_count(line.get("num_turns"))
        if isinstance(line.get(_SINCE_LAST), dict):
            for used in _models(line, _SINCE_LAST):
                self._tokens.update(_tokens(used, _OF_MODEL))
                self._cost_usd += as_amount(used.get("costUSD"))
        else:
            self._add_sums(line)

    def _add_sums(self, line: Json) -> None:
        self._cost_usd = max(self._cost_usd, as_amount(line.get("total_cost_usd")))
        sums = _models(line, "modelUsage")
        if sums:
            self._tokens.clear()
        for used in sums:
            self._tokens.update(_tokens(used, _OF_MODEL))
        if not sums:  # a program that speaks the CLI need not say more
            self._tokens.update(_tokens(as_object(line.get("usage")), _OF_API))

    def total(self) -> Usage:
        """The run's usage as far as it is known."""
        tokens = self._tokens + self._estimate
        return Usage(
            input_tokens=tokens["input_tokens"],
            output_tokens=tokens["output_tokens"],
            cache_read_tokens=tokens["cache_read_tokens"],
            cache_creation_tokens=tokens["cache_creation_tokens"],
            cost_usd=self._cost_usd,
            duration_seconds=self._milliseconds / 1000,
            turns=self._turns + self._turns_begun,
            model=self._model,
        )


def _models(line: Json, name: str) -> list[Json]:
    return [as_object(used) for used in as_object(line.get(name)).values()]


def _tokens(used: Json, names: dict[str, str]) -> dict[str, int]:
    return {ours: as_count(used.get(theirs)) for ours, theirs in names.items()}
