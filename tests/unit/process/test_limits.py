"""What an agent gets of our environment is an allow-list; its limits are plain values."""

from __future__ import annotations

import resource
from pathlib import Path

from internal.process.limits import Limits, allowed_environment


def test_only_allowed_variables_pass() -> None:
    """
    Language, proxies and certificate authorities pass; tokens, keys and loader variables do not.
    """
    allowed = {
        "PATH": "/bin",
        "LANG": "de_AT.UTF-8",
        "LC_ALL": "C",
        "TZ": "UTC",
        "TERM": "dumb",
        "https_proxy": "http://proxy",
        "NO_PROXY": "localhost",
        "NODE_EXTRA_CA_CERTS": "/ca.pem",
    }
    secret = {
        "CODEFORGE_ENCRYPTION__KEY": "x",
        "GITHUB_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LD_PRELOAD": "/x.so",
        "CODEFORGE_RUN": "outer",
    }

    environment = allowed_environment({**allowed, **secret}, home=Path("/h"))

    assert environment == {**allowed, "HOME": "/h"}


def test_the_home_is_the_agents_own() -> None:
    """
    The worker's home, with its credentials, is never the agent's.
    """
    environment = allowed_environment({"HOME": "/root", "PATH": "/bin"}, home=Path("/agent"))

    assert environment["HOME"] == "/agent"


def test_named_variables_pass_too() -> None:
    """
    A driver and the operator may name more; a name that is not set is left out.
    """
    environment = allowed_environment(
        {"API_KEY": "k", "PATH": "/bin"}, home=Path("/h"), names=["API_KEY", "ABSENT"]
    )

    assert environment == {"API_KEY": "k", "PATH": "/bin", "HOME": "/h"}


def test_there_is_always_a_path() -> None:
    """
    A service manager may start us without one; an agent without PATH finds no tool.
    """
    assert "/usr/bin" in allowed_environment({}, home=Path("/h"))["PATH"]


def test_limits_left_out_are_not_set_and_core_files_are_always_off() -> None:
    """
    None leaves what we have ourselves.
    """
    limits = Limits(open_files=None, file_bytes=7)

    assert limits.rlimits() == [(resource.RLIMIT_FSIZE, 7), (resource.RLIMIT_CORE, 0)]
