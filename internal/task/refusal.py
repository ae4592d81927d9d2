"""
Why work is not made a pull request, as far as names and counts tell. Pure.

The service asks before anything is queued, so that a refusal changes nothing; the worker asks again
of the recorded tree itself, where also what no stored diff shows is checked.
"""

from __future__ import annotations

from collections.abc import Iterable

from internal.errors import Invalid
from internal.git.model import Changes

REFUSALS = frozenset(
    {
        "no_changes",
        "unsupported_host",
        "secret_in_diff",
        "workflow_in_diff",
        "submodule_in_diff",
        "link_leaves_tree",
        "file_too_large",
    }
)
"""Codes of what is the work's own fault, or the request's: asking again changes nothing."""

# What a host or a CI service runs by itself, with credentials, when it sees it in a branch.
_FOLDERS = (
    ".github/workflows/",
    ".github/actions/",
    ".gitea/workflows/",
    ".forgejo/workflows/",
    ".gitlab/ci/",
    ".circleci/",
    ".buildkite/",
    ".semaphore/",
    ".tekton/",
    ".teamcity/",
    ".woodpecker/",
)
_FILES = frozenset(
    {
        ".gitlab-ci.yml",
        ".gitlab-ci.yaml",
        "bitbucket-pipelines.yml",
        "azure-pipelines.yml",
        ".travis.yml",
        ".cirrus.yml",
        ".cirrus.star",
        ".appveyor.yml",
        "appveyor.yml",
        ".drone.yml",
        ".drone.jsonnet",
        ".drone.star",
        ".woodpecker.yml",
        ".woodpecker.yaml",
        "jenkinsfile",
    }
)


def refused(code: str, message: str) -> Invalid:
    """The error for one of `REFUSALS`."""
    return Invalid(message, code=code)


def check_changes(changes: Changes | None) -> None:
    """Raises Invalid (`no_changes`) when there is nothing to show."""
    if changes is None or not changes.files:
        raise refused("no_changes", "The task has changed nothing.")


def check_workflows(paths: Iterable[str]) -> None:
    """Raises Invalid (`workflow_in_diff`) when one of *paths* is a file that CI obeys."""
    found = sorted(path for path in paths if _is_workflow(path))
    if found:
        raise refused(
            "workflow_in_diff",
            f"The work changes what CI runs ({_some(found)}); git.allow_workflows would let it.",
        )


def _is_workflow(path: str) -> bool:
    lowered = path.casefold()
    # With a slash, because a link may take the place of a folder.
    return lowered in _FILES or f"{lowered}/".startswith(_FOLDERS)


def _some(paths: list[str]) -> str:
    shown = ", ".join(path[:200] for path in paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
