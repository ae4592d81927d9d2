"""Both signatures, against published vectors and the reference library."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from internal.errors import Invalid
from internal.webhook.signer import Signer

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published vector


def test_the_standard_signature_matches_the_published_vector() -> None:
    """
    Id, time and body are signed with the bytes behind `whsec_`.
    """
    signature = Signer(STANDARD_SECRET).standard_signature(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_body_signature_matches_the_published_vector() -> None:
    """
    The compatibility form is the one that GitHub documents.
    """
    signature = Signer("It's a Secret to Everybody").body_signature(b"Hello, World!")

    assert signature == ("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")


@pytest.mark.parametrize(
    ("secret", "receiver_secret"),
    [
        (STANDARD_SECRET, STANDARD_SECRET),
        ("whsec_c2VjcmV0IQ", "whsec_c2VjcmV0IQ=="),
        ("hunter2 ü", "whsec_" + base64.b64encode("hunter2 ü".encode()).decode()),
    ],
)
def test_the_reference_library_verifies_what_we_sign(secret: str, receiver_secret: str) -> None:
    """
    A plain secret is given to a standard receiver as `whsec_` + base64 of its bytes.
    """
    now = int(datetime.now(UTC).timestamp())
    body = '{"task_id":"t1","labels":{"ü":"…"}}'
    headers = {
        "webhook-id": "evt_t1_7",
        "webhook-timestamp": str(now),
        "webhook-signature": Signer(secret).standard_signature("evt_t1_7", now, body.encode()),
    }

    assert Webhook(receiver_secret).verify(body, headers)["task_id"] == "t1"
    with pytest.raises(WebhookVerificationError):
        Webhook(receiver_secret).verify(body + " ", headers)


def test_the_body_signature_is_keyed_with_the_secret_as_given() -> None:
    """
    Also a secret with `whsec_` is taken letter by letter for this form.
    """
    signature = Signer(STANDARD_SECRET).body_signature(b"x")

    # printf x | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
    assert signature == ("sha256=4f0b29c40dc93e66c917a48060e6fc06b97bd81b78e87decaf514261dc669ac3")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "whsec_="])
def test_a_secret_without_key_is_refused_without_being_shown(secret: str) -> None:
    """
    The start fails and names the setting, not its value.
    """
    with pytest.raises(Invalid) as refused:
        Signer(secret)

    assert "secret" in refused.value.fields
    assert "not base64!" not in refused.value.message


def test_old_secrets_sign_beside_the_new_one() -> None:
    """
    One signature each, the newest first, with a blank between; the simple form has room for one.
    """
    newest, body = "hunter2-and-more", b'{"test": 2432232314}'
    signer = Signer(newest, [STANDARD_SECRET])

    signatures = signer.standard_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert signatures.split(" ") == [
        Signer(newest).standard_signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body),
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ]
    assert signer.body_signature(body) == Signer(newest).body_signature(body)
