"""What git says when it fails, and what a task makes of it."""

from __future__ import annotations

import pytest

from internal.errors import DiskFull
from internal.git.failure import GitFailed, local_failure, network_failure


@pytest.mark.parametrize(
    ("stderr", "reason", "retryable"),
    [
        (
            "remote: Repository not found.\nfatal: repository 'https://h/o/r/' not found",
            "repo_not_found",
            False,
        ),
        ("fatal: '/x' does not appear to be a git repository", "repo_not_found", False),
        ("fatal: couldn't find remote ref refs/heads/x", "repo_not_found", False),
        ("fatal: Authentication failed for 'https://h/o/r/'", "auth_failed", False),
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled",
            "auth_failed",
            False,
        ),
        (
            "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "auth_failed",
            False,
        ),
        (
            "fatal: unable to access 'https://h/': The requested URL returned error: 403",
            "auth_failed",
            False,
        ),
        ("Host key verification failed.", "clone_failed", False),
        (
            "fatal: unable to access 'https://h/': SSL certificate problem: self-signed",
            "clone_failed",
            False,
        ),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "clone_failed", True),
        ("ssh: connect to host h port 22: Connection refused", "clone_failed", True),
        (
            "fatal: unable to access 'http://h/': The requested URL returned error: 503",
            "clone_failed",
            True,
        ),
        ("error: RPC failed; curl 56 Recv failure\nfatal: early EOF", "clone_failed", True),
        ("fatal: something nobody has seen", "clone_failed", False),
        ("", "clone_failed", False),
    ],
)
def test_a_remotes_refusal_becomes_the_reason_of_the_failure(
    stderr: str, reason: str, retryable: bool
) -> None:
    """Only what may pass by itself is retried; what only a person can change is not."""
    error = network_failure(stderr)

    assert isinstance(error, GitFailed)
    assert (error.error_code, error.retryable) == (reason, retryable)


@pytest.mark.parametrize(
    "text", ["No space left on device", "Disk quota exceeded", "unable to write file 'x'"]
)
def test_a_full_disk_is_told_apart_everywhere(text: str) -> None:
    """A full disk is a reason of its own, whatever command met it."""
    stderr = f"fatal: write error: {text}"

    assert isinstance(network_failure(stderr), DiskFull)
    assert isinstance(local_failure("add", stderr), DiskFull)
