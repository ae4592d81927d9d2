"""
The two signatures of a webhook, both over the exact bytes that are sent.

Pure. `webhook-signature` is that of Standard Webhooks: it covers id, time and body, so a receiver
can refuse a replay. `X-Signature-256` covers the body alone, for receivers of CodeForge's first
version; it cannot stop a replay. Source: https://www.standardwebhooks.com, and GitHub's
X-Hub-Signature-256.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from internal.errors import Invalid

_STANDARD_PREFIX = "whsec_"


class Signer:
    """
    Signs with a secret, and with those it replaced, while receivers may still have them.

    `X-Signature-256` is keyed with the newest secret as given, in UTF-8. The standard form has one
    signature for each secret, keyed with the bytes that `whsec_<base64>` spells, or with the UTF-8
    bytes of any other secret: a receiver with a standard library then configures `whsec_` + base64
    of them.
    """

    def __init__(self, secret: str, old_secrets: Sequence[str] = ()) -> None:
        """
        Take a secret, and those before it.

        Raises:
            Invalid: one is empty, or begins with `whsec_` and goes on with no base64. `fields`
                names the member `secret`.
        """
        self._plain_key = secret.encode()
        self._standard_keys = [_standard_key(text) for text in (secret, *old_secrets)]

    def body_signature(self, body: bytes) -> str:
        """The value of `X-Signature-256`."""
        return "sha256=" + hmac.digest(self._plain_key, body, "sha256").hex()

    def standard_signature(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """The value of `webhook-signature`; *timestamp* is the attempt's, in seconds since 1970."""
        content = f"{webhook_id}.{timestamp}.".encode() + body
        return " ".join(_signature(key, content) for key in self._standard_keys)


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode("ascii")


def _standard_key(secret: str) -> bytes:
    if not secret:
        raise _invalid("must not be empty")
    if not secret.startswith(_STANDARD_PREFIX):
        return secret.encode()
    spelled = secret.removeprefix(_STANDARD_PREFIX)
    try:
        # Unpadded base64 is usual; superfluous padding is ignored.
        bare = spelled.rstrip("=")
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid("begins with whsec_ but goes on with no base64") from error
    if not key:
        raise _invalid("holds no key behind whsec_")
    return key


def _invalid(complaint: str) -> Invalid:
    return Invalid(f"The webhook secret {complaint}.", fields={"secret": complaint})
