"""What is refused before anything is queued: nothing changed, or files that CI obeys."""

from __future__ import annotations

import pytest

from internal.errors import Invalid
from internal.git.model import Changes
from internal.task.refusal import REFUSALS, check_changes, check_workflows


@pytest.mark.parametrize("changes", [None, Changes()])
def test_no_changes_are_refused(changes: Changes | None) -> None:
    """There is nothing to show."""
    with pytest.raises(Invalid) as refused:
        check_changes(changes)

    assert refused.value.error_code == "no_changes"
    assert refused.value.error_code in REFUSALS


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/x",
        ".gitea/workflows/a.yaml",
        ".forgejo/workflows/a.yaml",
        ".gitlab-ci.yml",
        "bitbucket-pipelines.yml",
        "Jenkinsfile",
        ".circleci/config.yml",
        ".circleci",
        ".tekton/push.yaml",
        ".cirrus.yml",
    ],
)
def test_files_that_ci_obeys_are_refused(path: str) -> None:
    """However they are written; the message names the file and the setting."""
    with pytest.raises(Invalid, match=r"git\.allow_workflows") as refused:
        check_workflows(["src/a.py", path])

    assert refused.value.error_code == "workflow_in_diff"
    assert path in refused.value.message


@pytest.mark.parametrize("path", ["workflows/ci.yml", "docs/.github/x", ".github/CODEOWNERS"])
def test_other_files_pass(path: str) -> None:
    """Only at the places where CI looks."""
    check_workflows([path])
