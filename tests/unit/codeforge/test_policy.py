"""The settings' own policy, from the file an operator writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeforge.wiring.policy import open_policy
from internal.config.error import SettingsError
from internal.config.load import load_settings
from internal.config.settings import Settings
from internal.errors import Invalid
from internal.git.remote import parse_remote

FILE = """
queue:
  tenant_concurrency: 5
  repo_concurrency: 2
control:
  tenants:
    "*": {starts_per_minute: 30}
    team-a: {weight: 3, concurrency: 0}
  repositories:
    "*": {concurrency: 1}
    "https://git.example.com/acme/app.git": {usd_per_day: 12.5}
  agents:
    claude-code: {concurrency: 4, tokens_per_day: 5000000}
"""


def settings(tmp_path: Path, text: str, **variables: str) -> Settings:
    (tmp_path / "codeforge.yaml").write_text(text)
    return load_settings({"HOME": str(tmp_path), **variables}, tmp_path).settings


def test_the_tables_of_the_file_are_the_limits(tmp_path: Path) -> None:
    """What `queue` says holds for everybody else where `control` says nothing."""
    app = parse_remote("https://git.example.com/acme/app").key

    limits = open_policy(settings(tmp_path, FILE)).limits()

    assert limits == {
        "tenant:*": 5,
        "rate:tenant:*": 30,
        "tenant:team-a": 0,
        "weight:team-a": 3,
        "repo:*": 1,
        f"budget:repo:*:{app}:usd": 12.5,
        "agent:*": 0,
        "agent:claude-code": 4,
        "budget:agent:claude-code:tokens": 5_000_000,
        "dedup:*": 1,
    }


def test_a_table_may_come_from_the_environment(tmp_path: Path) -> None:
    """As a JSON object."""
    table = '{"team-a": {"weight": 2}}'

    limits = open_policy(settings(tmp_path, "", CODEFORGE_CONTROL__TENANTS=table)).limits()

    assert limits["weight:team-a"] == 2


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("tenants: {Team A: {weight: 1}}", "Team A"),
        ("tenants: {a: {weight: 0}}", "weight"),
        ("agents: {clod: {concurrency: 1}}", "clod"),
        ("agents: {demo: {weight: 1}}", "weight"),
        ("tenants: {a: {usd_per_day: .inf}}", "usd_per_day"),
        ("tenants: {a: {usd_per_week: 3}}", "usd_per_week"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, table: str, named: str) -> None:
    """A limit for a name that nothing can have would silently limit nobody."""
    with pytest.raises(SettingsError, match=named):
        settings(tmp_path, f"control:\n  {table}\n")


def test_a_repository_that_is_none_is_refused(tmp_path: Path) -> None:
    """When a process starts, not when nothing happens."""
    chosen = settings(tmp_path, "control:\n  repositories: {app: {concurrency: 1}}\n")

    with pytest.raises(Invalid, match=r"control\.repositories: app"):
        open_policy(chosen)
