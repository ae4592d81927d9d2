"""Registered keys and master keys from the command line, beside a running `up`."""

from __future__ import annotations

import json

from tests.support.deployment import Deployment

CANARY = "ghp_canary0123456789ABCDEFx7Qd"
ADD = (
    *("keys", "add", "team", "--provider", "generic"),
    *("--base-url", "https://git.example.com", "--scope", "octo-org/*"),
)


def test_a_key_is_added_verified_and_removed(deployment: Deployment) -> None:
    """
    Its value comes on standard input and is nowhere afterwards: not printed and not logged, also
    when it is refused. What cannot be verified is told, and by an exit code.
    """
    added = deployment.run(*ADD, stdin=f"{CANARY}\n")
    bad = deployment.run("keys", "add", "a b", "--provider", "svn", stdin=CANARY)
    listed = deployment.run("keys", "list")
    verified = deployment.run("keys", "verify", "team")
    removed = deployment.run("keys", "remove", "team")

    done = (added, bad, listed, verified, removed)
    assert [each.returncode for each in done] == [0, 2, 0, 1, 0]
    place = ["https://git.example.com", "octo-org/*"]
    words = ["team", "generic", "…x7Qd", *place, "no", "end", "never", "used"]
    assert added.stdout.split() == words
    assert added.stdout in listed.stdout
    assert "provider must be one of github" in bad.stderr
    assert "cannot be verified" in verified.stdout
    assert CANARY not in "".join(each.stdout + each.stderr for each in done)
    assert CANARY not in deployment.log()


def test_the_embedded_redis_is_found(deployment: Deployment) -> None:
    """
    `up` leaves where its Redis listens, so its master key can be looked at without settings.
    """
    done = deployment.run("keys", "status", "--json")

    assert done.returncode == 0, done.stderr
    standing = json.loads(done.stdout)
    assert standing["processes"] >= 2  # server and worker
    assert [row["seals"] for row in standing["rows"]] == [standing["processes"]]
