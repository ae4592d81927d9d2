"""What a process needs before it starts, and says when it has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeforge import runtime
from internal.config.load import load_settings
from internal.errors import Invalid


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
