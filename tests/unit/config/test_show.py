"""What an operator sees of the settings: sources, masks, and what has no effect."""

from __future__ import annotations

import json
from pathlib import Path

from internal.config.effect import without_effect
from internal.config.load import Loaded, load_settings
from internal.config.show import effective

SECRETS = {
    "CODEFORGE_SERVER__AUTH_TOKEN": "hunter22://x",
    "CODEFORGE_ENCRYPTION__KEY": "hunter22",
    "CODEFORGE_ENCRYPTION__KEYS": '{"old": "hunter22"}',
    "CODEFORGE_WEBHOOKS__HMAC_SECRET": "hunter22",
    "CODEFORGE_WEBHOOKS__OLD_HMAC_SECRETS": "hunter22,whsec_hunter22",
    "CODEFORGE_REDIS__URL": "rediss://user:hunter22@redis.example:6380/1",
    "CODEFORGE_TRACING__ENDPOINT": "https://user:hunter22@otel.example",
}


def test_secrets_are_masked_and_places_are_shown(tmp_path: Path) -> None:
    """
    `config show` is pasted into bug reports.
    """
    rows = {row.path: row for row in effective(_loaded(tmp_path, SECRETS))}

    assert "hunter22" not in str(rows)
    assert rows["server.auth_token"].value == "***"
    assert rows["encryption.keys"].value == {"old": "***"}
    assert rows["webhooks.old_hmac_secrets"].value == ["***", "***"]
    assert rows["redis.url"].value == "rediss://***@redis.example:6380/1"
    assert rows["redis.url"].source == "CODEFORGE_REDIS__URL"
    assert rows["git.allow_hosts"].value == []


def test_a_table_of_limits_is_shown_with_what_it_says(tmp_path: Path) -> None:
    """
    What an entry leaves out is as under `*`, so it is not shown; and all of it is fit for JSON.
    """
    tables = {
        "CODEFORGE_CONTROL__TENANTS": '{"team-a": {"weight": 3, "concurrency": 0}}',
        "CODEFORGE_CONTROL__REPOSITORIES": '{"https://user:hunter22@git.example/r": {}}',
    }

    rows = {row.path: row.value for row in effective(_loaded(tmp_path, tables))}

    assert json.loads(json.dumps(rows)) == rows
    assert rows["control.tenants"] == {"team-a": {"weight": 3, "concurrency": 0}}
    assert rows["control.repositories"] == {"https://***@git.example/r": {}}


def test_an_empty_secret_is_shown_as_empty(tmp_path: Path) -> None:
    """
    Whether a secret is set is no secret.
    """
    rows = {row.path: row.value for row in effective(_loaded(tmp_path, {}))}

    assert rows["server.auth_token"] == ""
    assert rows["redis.url"] == ""


def test_settings_never_show_a_secret_by_accident(tmp_path: Path) -> None:
    """
    An object of settings that lands in a log or a traceback shows no secret.
    """
    assert "hunter22" not in repr(_loaded(tmp_path, SECRETS | {"CODEFORGE_TRACING__ENDPOINT": ""}))


def test_what_has_no_effect_is_named_when_set(tmp_path: Path) -> None:
    """
    A setting that is accepted and does nothing is said, once, when somebody counts on it.
    """
    variables = {"CODEFORGE_WORKERS__QUEUE_NAME": "q", "CODEFORGE_SERVER__PORT": "81"}

    assert without_effect(_loaded(tmp_path, {})) == []
    assert without_effect(_loaded(tmp_path, variables)) == ["workers.queue_name"]


def _loaded(tmp_path: Path, variables: dict[str, str]) -> Loaded:
    return load_settings({"HOME": "/home/op"} | variables, tmp_path)
