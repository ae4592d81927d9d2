"""What a process needs before it starts, and says when it has not."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from codeforge import runtime
from internal.config.load import load_settings
from internal.crypto.box import Box
from internal.errors import Invalid
from internal.webhook.secrets import SigningSecrets


def test_fault_a20_webhooks_are_never_silently_off(tmp_path: Path) -> None:
    """
    Without a secret to sign with, `serve` and `worker` refuse and name the setting; `up` makes one
    and says in which file it is.
    """
    environment = {"HOME": str(tmp_path), "CODEFORGE_DATA_DIR": str(tmp_path / "data")}
    settings = load_settings(environment, tmp_path).settings

    with pytest.raises(Invalid) as refused:
        runtime.find_secrets(settings)
    made = runtime.make_secrets(settings)

    assert "webhooks.hmac_secret" in refused.value.fields
    assert tmp_path / "data" / "secrets" / "hmac_secret" in made
    assert runtime.find_secrets(settings).hmac_secret.startswith("whsec_")


def test_old_webhook_secrets_are_found_where_the_new_one_is(tmp_path: Path) -> None:
    """
    In the settings; beside a generated secret also as files, so that `up` rotates by a rename.
    """
    environment = {"HOME": str(tmp_path), "CODEFORGE_DATA_DIR": str(tmp_path / "data")}
    generated = load_settings(environment, tmp_path).settings
    runtime.make_secrets(generated)
    before = runtime.find_secrets(generated)
    file = tmp_path / "data" / "secrets" / "hmac_secret"

    file.rename(f"{file}.old")
    runtime.make_secrets(generated)
    after = runtime.find_secrets(generated)
    variables = {"HMAC_SECRET": "a-new-secret-of-ours", "OLD_HMAC_SECRETS": "one,two"}
    environment |= {f"CODEFORGE_WEBHOOKS__{name}": value for name, value in variables.items()}
    configured = runtime.find_secrets(load_settings(environment, tmp_path).settings)

    assert before.old_hmac_secrets == ()
    assert after.old_hmac_secrets == (before.hmac_secret,)
    assert after.hmac_secret != before.hmac_secret
    assert configured.old_hmac_secrets == ("one", "two")


def test_an_old_webhook_secret_that_is_none_is_named() -> None:
    """
    Not found out with the first webhook.
    """
    with pytest.raises(Invalid) as refused:
        SigningSecrets(Box({"k": bytes(32)}, "k"), "whsec_c2VjcmV0IQ==", ["whsec_!"])

    assert "webhooks.old_hmac_secrets" in refused.value.fields


def test_a_fault_point_that_does_not_exist_keeps_a_process_from_starting() -> None:
    """A drill that cannot strike must not look like one that was passed."""
    with pytest.raises(Invalid, match=r"FAULT: 'after:nothing' is not after: and one of claimed"):
        runtime.arm_fault({"FAULT": "after:nothing"})


def test_an_armed_fault_point_is_warned_about() -> None:
    """Nobody shall look for long why a process ended."""
    with capture_logs() as lines:
        runtime.arm_fault({"FAULT": "after:pushed"})
        runtime.arm_fault({})

    assert lines == [{"event": "fault.armed", "after": "pushed", "log_level": "warning"}]
