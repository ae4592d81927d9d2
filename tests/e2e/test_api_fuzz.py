"""The API is what api/openapi.yaml says, whatever it is asked: Schemathesis with all its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from internal.server.openapi import openapi_yaml
from tests.support.deployment import running
from tests.support.repos import Repo

_LIMIT_SECONDS = 400
_HOOKS = "tests.support.api_fuzz"
_ROOT = Path(__file__).parents[2]

# What a task's work and its host allow is 400 there by contract, and no rule of the description.
_SETTINGS = """
[[operations]]
include-path-regex = "/create-pr$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 429]
"""


@pytest.mark.fuzz
@pytest.mark.timeout(_LIMIT_SECONDS + 60)
def test_no_request_gets_an_answer_that_is_not_described(tmp_path: Path) -> None:
    """
    No 5xx, no undocumented status, body or header; no bad input taken, no good input refused; no
    route without a token. Requests are made from the description, alone and in chains.
    """
    spec = tmp_path / "openapi.yaml"
    spec.write_bytes(openapi_yaml())
    (tmp_path / "schemathesis.toml").write_text(_SETTINGS, encoding="ascii")
    settings = {
        "CODEFORGE_CLI__DEFAULT": "demo",
        "CODEFORGE_SERVER__MAX_WAIT": "2",
        "CODEFORGE_RATE_LIMIT__ENABLED": "false",
    }
    with running(settings) as deployment:
        repository = Repo(deployment.repositories / "fuzz.git")
        repository.commit({"README.md": "# Test\n"}, message="First")
        answer = subprocess.run(
            [
                Path(sys.executable).with_name("st"),
                *("run", spec, "--url", deployment.url),
                *("--header", f"Authorization: Bearer {deployment.token}"),
                *("--checks", "all", "--max-examples", "5", "--request-timeout", "60"),
                *("--seed", os.environ.get("API_FUZZ_SEED", "1")),
                *("--suppress-health-check", "all", "--continue-on-failure", "--no-color"),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "API_FUZZ_REPOSITORY": repository.url,
                "API_FUZZ_URL": deployment.url,
                "SCHEMATHESIS_HOOKS": _HOOKS,
                "PYTHONPATH": str(_ROOT),
            },
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )

    assert answer.returncode == 0, answer.stdout[-12_000:] + answer.stderr
