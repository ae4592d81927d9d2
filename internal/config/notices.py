"""What an operator should hear about settings that are well-formed: no effect yet, or missing."""

from __future__ import annotations

from pydantic import SecretStr

from internal.config.error import SettingsError
from internal.config.load import Loaded
from internal.config.settings import Settings, leaf, leaf_names

# Accepted, so that one file serves this version and the next, but nothing reads them yet.
_WITHOUT_EFFECT = (
    "cli.codex.",
    "cli.gemini.",
    "cli.opencode.",
    "encryption.keys",
    "git.branch_prefix",
    "git.commit_author",
    "git.commit_email",
    "git.provider_domains",
    "rate_limit.",
    "server.pr_wait",
    "tasks.result_ttl",
    "tracing.",
    "workers.publish_concurrency",
    "workers.queue_name",
)


def without_effect(loaded: Loaded) -> list[str]:
    """The settings that the operator set and that do nothing in this version."""
    return [
        path for path in leaf_names() if loaded.was_set(path) and path.startswith(_WITHOUT_EFFECT)
    ]


def require(settings: Settings, *paths: str) -> None:
    """
    Refuse to go on without a value for each of *paths*.

    Raises:
        SettingsError: it names each that is empty, with its variable.
    """
    missing = {
        path: f"must be set (for example with {_variable(path)})"
        for path in paths
        if _is_empty(leaf(settings, path))
    }
    if missing:
        raise SettingsError(missing)


def check_worker(settings: Settings) -> None:
    """
    Refuse what a worker of this version cannot do, instead of running agents less isolated.

    Raises:
        SettingsError: `workers.isolation` is `bwrap`.
    """
    if settings.workers.isolation == "bwrap":
        complaint = "bwrap is not available in this version; auto and none run without a sandbox"
        raise SettingsError({"workers.isolation": complaint})


def _variable(path: str) -> str:
    return "CODEFORGE_" + path.replace(".", "__").upper()


def _is_empty(value: object) -> bool:
    return not (value.get_secret_value() if isinstance(value, SecretStr) else value)
