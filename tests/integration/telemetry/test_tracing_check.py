"""What `codeforge doctor` says of a collector."""

from __future__ import annotations

from pathlib import Path

from codeforge.checks.finding import Level
from codeforge.checks.tracing import check_tracing
from internal.config.load import load_settings
from internal.config.settings import Settings
from tests.support.collector import Collector
from tests.support.deployment import free_port


def settings(directory: Path, **given: str) -> Settings:
    variables = {f"CODEFORGE_TRACING__{name}": value for name, value in given.items()}
    return load_settings({"HOME": str(directory), **variables}, directory).settings


async def test_a_collector_that_listens_is_found(collector: Collector, tmp_path: Path) -> None:
    """Nothing is sent to it."""
    found = await check_tracing(settings(tmp_path, ENABLED="true", ENDPOINT=collector.url), {})

    assert [finding.level for finding in found] == [Level.OK]
    assert collector.exports == []


async def test_one_that_does_not_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """Tasks run without it; spans are dropped."""
    nobody = f"http://127.0.0.1:{free_port()}"

    found = await check_tracing(settings(tmp_path, ENABLED="true", ENDPOINT=nobody), {})

    assert [finding.level for finding in found] == [Level.WARN]
    assert nobody in found[0].message


async def test_settings_that_contradict_each_other_are(tmp_path: Path) -> None:
    """By the name of the setting."""
    wrong = settings(tmp_path, ENABLED="true", ENDPOINT="https://collector", INSECURE="true")

    found = await check_tracing(wrong, {})

    assert [(finding.name, finding.level) for finding in found] == [
        ("tracing.insecure", Level.FAIL)
    ]


async def test_without_tracing_there_is_nothing_to_say(tmp_path: Path) -> None:
    """As for whatever is off."""
    assert await check_tracing(settings(tmp_path), {}) == []
    assert await check_tracing(settings(tmp_path, ENABLED="true", EXPORTER="none"), {}) == []
