"""What the documentation says about settings is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from internal.config.effect import without_effect
from internal.config.load import Loaded, load_settings
from internal.config.settings import leaf_names
from internal.config.show import effective
from internal.telemetry.cluster import ClusterSnapshot
from internal.telemetry.metrics import Metrics

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BY_MACHINE = ("data_dir", "tasks.workspace_base")
METRIC_ROW = re.compile(r"^\| `(codeforge_\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
ROW = re.compile(r"\| `([a-z_.]+)`( °)? \| (?:`([^|]*)`)? ?\| (.*)\|", re.MULTILINE)


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[str, bool]]:
    """Key to the default it is said to have, and whether it is marked as without effect."""
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {key: (default, bool(mark)) for key, mark, default, _ in found}


def test_every_setting_is_documented_in_the_order_of_the_code(
    rows: dict[str, tuple[str, bool]],
) -> None:
    """
    A key that is not in the table does not exist, and the other way round.
    """
    assert list(rows) == leaf_names()


def test_the_documented_defaults_are_the_real_ones(
    rows: dict[str, tuple[str, bool]], tmp_path: Path
) -> None:
    """
    An empty cell is an empty text, an empty list, or nothing.
    """
    loaded = load_settings({"HOME": str(tmp_path)}, tmp_path)
    real = {
        row.path: "" if row.value in ("", None, [], {}) else str(row.value)
        for row in effective(loaded)
        if row.path not in BY_MACHINE
    }

    documented = {key: default for key, (default, _) in rows.items() if key not in BY_MACHINE}
    assert documented == {key: _as_written(value) for key, value in real.items()}


def test_what_has_no_effect_is_marked(rows: dict[str, tuple[str, bool]], tmp_path: Path) -> None:
    """
    The marks are the warnings that a process would give if everything were set.
    """
    settings = load_settings({"HOME": str(tmp_path)}, tmp_path).settings
    all_set = Loaded(settings=settings, sources=dict.fromkeys(leaf_names(), "a test"))

    assert {key for key, (_, marked) in rows.items() if marked} == set(without_effect(all_set))


def _as_written(value: str) -> str:
    """Python's spelling of a value as a settings file has it."""
    return {"True": "true", "False": "false"}.get(value, value.removesuffix(".0"))


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    """
    The table of operations.md is what a scrape shows, with everything in it that can be.
    """
    told = (PAGE.parent / "operations.md").read_text(encoding="utf-8")
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in METRIC_ROW.findall(told)
    }
    metrics = Metrics(count_spans=dict)
    metrics.observe_request("GET", "/api/v1/tasks", 200, 0.1)
    metrics.count_turned_away("slow", "queue")

    families = text_string_to_metric_families(metrics.render(_everything()).decode())

    assert documented == {
        _full_name(family): (family.type, _labels(family))
        for family in families
        if family.name.startswith("codeforge_")
    }


def _everything() -> ClusterSnapshot:
    """A deployment in which each thing that is counted has happened."""
    once = ("failures", "retries", "handbacks", "clone:spare:inf", "tokens:demo", "cost_usd")
    unpriced = ("unpriced_tokens",)
    of_control = ("signals", "escalations:agent")
    return ClusterSnapshot(
        counters={
            f"{name}:x" if ":inf" not in name else name: "1"
            for name in (*once, *unpriced, *of_control)
        },
        tasks_in_progress=0,
        queue_depth=0,
        queue_oldest_seconds=0,
        workers_active=0,
        workers_total=0,
        worker_processes=0,
        workspace_bytes=0,
        homes_short_of_disk=0,
        webhook_backlog=0,
        webhook_overdue_seconds=0,
        dead_letters=0,
        levels={("agent", "warn"): 1},
    )


def _full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> tuple[str, ...]:
    return tuple(name for name in family.samples[0].labels if name != "le")
