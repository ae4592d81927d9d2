"""The demo's receiver takes what is signed and fresh, and nothing else."""

from __future__ import annotations

import pytest

from codeforge.demo_webhook import is_signed
from internal.webhook.signer import Signer

_NOW = 1_800_000_000
_BODY = b'{"type":"task.completed"}'
_SECRETS = ["whsec_c2VjcmV0", "a plain secret"]


def _headers(secret: str) -> dict[str, str]:
    signer = Signer(secret)
    return {
        "x-signature-256": signer.body_signature(_BODY),
        "webhook-id": "evt_1",
        "webhook-timestamp": str(_NOW),
        "webhook-signature": signer.standard_signature("evt_1", _NOW, _BODY),
    }


@pytest.mark.parametrize("secret", _SECRETS)
def test_what_our_signer_signs_is_taken(secret: str) -> None:
    """With both kinds of secrets."""
    assert is_signed(secret, _headers(secret), _BODY, now=_NOW + 10)


@pytest.mark.parametrize("name", ["x-signature-256", "webhook-signature", "webhook-id"])
def test_each_signature_counts(name: str) -> None:
    """One that is missing or wrong is enough to refuse."""
    headers = _headers("whsec_c2VjcmV0")

    wrong = {**headers, name: "sha256=00"}
    missing = {key: value for key, value in headers.items() if key != name}

    for changed in (wrong, missing):
        assert not is_signed("whsec_c2VjcmV0", changed, _BODY, now=_NOW)


def test_another_body_or_secret_is_refused() -> None:
    """Whoever does not know the secret cannot make one."""
    headers = _headers("one")

    assert not is_signed("one", headers, _BODY + b" ", now=_NOW)
    assert not is_signed("two", headers, _BODY, now=_NOW)


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_replay_is_refused(seconds: int) -> None:
    """Older or newer than five minutes."""
    headers = _headers("one")

    assert not is_signed("one", headers, _BODY, now=_NOW + seconds)
