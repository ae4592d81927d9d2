"""`codeforge doctor` names what is wrong and what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from codeforge.checks.finding import Level
from codeforge.checks.programs import judge_git
from tests.support.deployment import CODEFORGE, LIMIT_SECONDS
from tests.support.redis import RedisServer

Report = dict[str, dict[str, Any]]
Examine = Callable[[Mapping[str, str]], tuple[int, Report]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Run it with some settings; its exit code, and its checks by name."""

    def run(settings: Mapping[str, str]) -> tuple[int, Report]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CODEFORGE_DATA_DIR": str(tmp_path / "data"),
            **settings,
        }
        done = subprocess.run(
            [CODEFORGE, "doctor", "--json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.stderr == ""
        report = json.loads(done.stdout)
        assert report["ok"] == (done.returncode == 0)
        assert list(tmp_path.iterdir()) == []
        return done.returncode, {check["name"]: check for check in report["checks"]}

    return run


def test_a_machine_as_this_one_is_fit(examine: Examine) -> None:
    """Warnings do not count; what is missing of an agent is named."""
    status, checks = examine({"CODEFORGE_CLI__CLAUDE_CODE__PATH": "/bin/true"})

    assert status == 0
    assert checks["redis"]["message"].startswith("embedded: ")
    assert checks["agent demo"]["level"] == "ok"
    assert checks["agent claude-code"]["level"] == "warn"
    assert "ANTHROPIC_API_KEY" in checks["agent claude-code"]["advice"]


def test_every_bad_setting_is_a_line(examine: Examine) -> None:
    """The host is still looked at."""
    status, checks = examine(
        {"CODEFORGE_SERVER__PORT": "no-port", "CODEFORGE_WORKERS__CONCURENCY": "2"}
    )

    assert status == 1
    assert checks["server.port"]["level"] == checks["workers.concurency"]["level"] == "fail"
    assert checks["platform"]["level"] == "ok"


def test_a_weak_key_is_a_warning_and_a_broken_one_a_failure(examine: Examine) -> None:
    """Neither is repeated."""
    weak = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    key = "CODEFORGE_ENCRYPTION__KEY"

    warned, with_weak = examine({key: weak})
    failed, with_broken = examine({key: "too-short"})

    assert (warned, with_weak["encryption.key"]["level"]) == (0, "warn")
    assert (failed, with_broken["encryption.key"]["level"]) == (1, "fail")
    assert "too-short" not in str(with_broken)


def test_a_redis_that_forgets_is_refused(examine: Examine, redis_server: RedisServer) -> None:
    """Unless that is wanted; nothing is written to it."""
    url = {"CODEFORGE_REDIS__URL": redis_server.url}

    refused, checks = examine(url)
    allowed, allowed_checks = examine({**url, "CODEFORGE_REDIS__EPHEMERAL": "true"})
    away, away_checks = examine({"CODEFORGE_REDIS__URL": "redis://:hidden@127.0.0.1:9"})

    assert (refused, checks["redis"]["level"]) == (1, "fail")
    assert (allowed, allowed_checks["redis"]["level"]) == (0, "warn")
    assert (away, away_checks["redis"]["level"]) == (1, "fail")
    assert "hidden" not in str(away_checks)


def test_a_disk_that_cannot_be_written_is_a_failure(examine: Examine) -> None:
    """Each directory by the name of its setting."""
    status, checks = examine({"CODEFORGE_TASKS__WORKSPACE_BASE": "/proc/workspaces"})

    assert status == 1
    assert checks["tasks.workspace_base"]["level"] == "fail"
    assert checks["data_dir"]["level"] == "ok"


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("git version 2.35.9", Level.FAIL),
        ("git version 2.39.5", Level.WARN),
        ("git version 2.43.6", Level.WARN),
        ("git version 2.43.7", Level.OK),
        ("git version 2.50.0", Level.WARN),
        ("git version 2.50.1 (Apple Git-155)", Level.OK),
        ("git version 2.51.0", Level.OK),
        ("git version 3.0", Level.OK),
        ("something else", Level.WARN),
    ],
)
def test_a_git_is_judged_by_its_version(said: str, level: Level) -> None:
    """The fixes of July 2025 came to each series by itself."""
    assert judge_git(said).level is level


def test_what_isolates_agents_is_tried_out(examine: Examine, tmp_path: Path) -> None:
    """A machine that cannot is a warning, and a failure where it was asked for."""
    bare = {"PATH": os.path.dirname(CODEFORGE)}  # no bubblewrap there

    _, tried = examine({})
    _, warned = examine(bare)
    status, refused = examine({**bare, "CODEFORGE_WORKERS__ISOLATION": "bwrap"})

    assert tried["isolation"]["level"] in {"ok", "warn"}
    assert warned["isolation"]["level"] == "warn"
    assert "not installed" in warned["isolation"]["message"]
    assert (status, refused["isolation"]["level"]) == (1, "fail")


def test_nothing_starts_with_a_policy_that_is_missing(tmp_path: Path) -> None:
    """`up` says so and ends: its parts would refuse it again and again."""
    done = _up(tmp_path, CODEFORGE_CONTROL__POLICY="nights")

    assert done.returncode == 2
    assert "control.policy: no installed package has a policy 'nights'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_starts_without_the_isolation_that_is_wanted(tmp_path: Path) -> None:
    """The message names the setting and what is missing."""
    done = _up(tmp_path, CODEFORGE_WORKERS__ISOLATION="bwrap")

    assert done.returncode != 0
    assert "workers.isolation" in done.stderr
    assert "not installed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _up(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What `up` says with *settings*, where nothing is installed, until it ends."""
    return subprocess.run(
        [CODEFORGE, "up"],
        env={"PATH": os.path.dirname(CODEFORGE), "HOME": str(home), **settings},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
