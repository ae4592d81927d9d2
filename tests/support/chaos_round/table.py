"""What a round prints: its table in Markdown, what was wrong, and the line everybody reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import quantiles

from tests.support.chaos_round.batch import BatchResult
from tests.support.chaos_round.plan import Fault

_SHOWN = 20
"""Most things of a kind that are said in full."""


def render(results: Sequence[BatchResult]) -> str:
    """Tasks by kind, faults by kind, what was measured; then whatever is wrong."""
    seconds = sum(result.seconds for result in results)
    tasks = sum(result.tasks for result in results)
    blocks = [
        _outcomes(results),
        _table(("fault", "times"), sorted(_sum(result.faults for result in results).items())),
        _table(("asked by clients", "times"), sorted(_sum(r.calls for r in results).items())),
        _table(("measured", "value"), _measures(results)),
        _table(("part", "seconds"), sorted(_sum(result.phases for result in results).items())),
        f"{tasks} tasks in {seconds:.0f} s, {tasks / max(seconds, 1):.1f} a second.",
    ]
    for name in ("lost", "doubled", "zombies", "wrong"):
        said = [text for result in results for text in getattr(result, name)]
        blocks += [f"{name}: {text}" for text in said[:_SHOWN]]
    return "\n\n".join(blocks)


def last_line(results: Sequence[BatchResult], seed: str) -> str:
    """The whole round in a line, by which two rounds are compared."""
    members = {**_totals(results), "seed": seed}
    return "chaos: " + " ".join(f"{name}={value}" for name, value in members.items())


def report_row(results: Sequence[BatchResult], seed: str) -> str:
    """The same as a row of the table in docs/reliability.md."""
    tasks, *others = [
        f"{value:,}" if isinstance(value, int) else value for value in _totals(results).values()
    ]
    return f"| {' | '.join([tasks, seed, *others])} |"


def _totals(results: Sequence[BatchResult]) -> dict[str, int | str]:
    faults = _sum(result.faults for result in results)
    return {
        "tasks": sum(result.tasks for result in results),
        "kills": faults[Fault.KILL],
        "pauses": faults[Fault.PAUSE],
        "redis_kills": faults[Fault.KILL_REDIS],
        "network_faults": sum(n for name, n in faults.items() if Fault(name).is_network),
        "duplicates": _sum(result.calls for result in results)["duplicates"],
        "lost": sum(len(result.lost) for result in results),
        "doubled": sum(len(result.doubled) for result in results),
        "zombie_writes": sum(len(result.zombies) for result in results),
        "max_prs": max((result.max_prs for result in results), default=0),
        "recovery_p99_s": f"{_p99([r for result in results for r in result.recoveries]):.1f}",
    }


def _outcomes(results: Sequence[BatchResult]) -> str:
    by_kind: dict[str, Counter[str]] = {}
    for result in results:
        for kind, counts in result.outcomes.items():
            by_kind.setdefault(kind, Counter()).update(counts)
    first = ["tasks", "runs", "claims", "completed", "pr_created"]
    others = sorted({name for counts in by_kind.values() for name in counts} - set(first))
    columns = [*first, *others]
    rows = [(kind, *(counts[name] for name in columns)) for kind, counts in sorted(by_kind.items())]
    total = sum(by_kind.values(), Counter[str]())
    return _table(("kind", *columns), [*rows, ("all", *(total[name] for name in columns))])


def _measures(results: Sequence[BatchResult]) -> list[tuple[str, str]]:
    usual = [seconds for result in results for seconds in result.recoveries]
    away = [seconds for result in results for seconds in result.recoveries_away]
    alone = [seconds for result in results for seconds in result.recoveries_alone]
    return [
        ("ticks of 50 ms under faults", str(sum(result.ticks for result in results))),
        ("tasks of killed workers, claimed again", str(len(usual))),
        ("recovery p50, s", f"{_percentile(usual, 50):.1f}"),
        ("recovery p99, s", f"{_p99(usual):.1f}"),
        ("recovery at most, s", f"{max(usual, default=0):.1f}"),
        ("claimed again behind a long outage of Redis", str(len(away))),
        ("recovery p99 of those, s", f"{_p99(away):.1f}"),
        ("claimed again to run alone", str(len(alone))),
        ("recovery p99 of those, s", f"{_p99(alone):.1f}"),
        ("pull requests opened", str(sum(result.pulls for result in results))),
        ("webhooks delivered", str(sum(result.hooks for result in results))),
        ("requests for that", str(sum(result.hook_attempts for result in results))),
    ]


def _sum(all_counts: Iterable[Mapping[str, float]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counts in all_counts:
        for name, count in counts.items():
            total[name] += count  # type: ignore[assignment] # seconds are summed, too
    return total


def _p99(samples: Sequence[float]) -> float:
    return _percentile(samples, 99)


def _percentile(samples: Sequence[float], percent: int) -> float:
    if len(samples) < 2:
        return samples[0] if samples else 0.0
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
