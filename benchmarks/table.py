"""What a benchmark answers: one table in Markdown, with the words to read it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """
    One benchmark's answer. *aim* is what was asked of it, *notes* what one must know to read it.
    """

    title: str
    aim: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table under its heading."""
        lines = [f"## {self.title}", "", f"Aim: {self.aim}", ""]
        lines.append(_row(self.columns))
        lines.append(_row(["---"] * len(self.columns)))
        lines += [_row(row) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value below which *percent* of 100 samples lie; of one sample, itself."""
    if len(samples) < 2:
        return samples[0]
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def millis(seconds: float) -> str:
    """Seconds as milliseconds, with as many digits as mean something."""
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mebibytes(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / (1 << 20):,.1f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
