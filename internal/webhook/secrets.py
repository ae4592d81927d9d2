"""
Whose secret signs a delivery: that of its endpoint, or the deployment's for a `callback_url`.

An endpoint's secrets are sealed in Redis and opened here, at the moment of use.
"""

from __future__ import annotations

import base64
import secrets

from internal.crypto.box import Box
from internal.errors import Invalid
from internal.webhook.model import Delivery
from internal.webhook.signer import Signer

_SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64


def make_secret() -> str:
    """A new random secret in the form of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode('ascii')}"


class SigningSecrets:
    """All secrets that sign webhooks."""

    def __init__(self, box: Box, deployment_secret: str) -> None:
        """Raises Invalid when *deployment_secret* (`webhooks.hmac_secret`) is no usable one."""
        self._box = box
        self._deployment = deployment_secret
        try:
            Signer(deployment_secret)
        except Invalid as error:
            raise Invalid(
                f"webhooks.hmac_secret {error.fields['secret']}.",
                fields={"webhooks.hmac_secret": error.fields["secret"]},
            ) from error

    def seal(self, tenant: str, endpoint: str, revision: int, secret: str) -> str:
        """The record of an endpoint's secret number *revision* (from 1)."""
        return self._box.seal(tenant, _name(endpoint), revision, secret)

    def of(self, delivery: Delivery) -> list[str]:
        """
        The secrets that sign *delivery*, the newest first; never empty.

        Raises:
            SealBroken: they were sealed with a master key that is not configured here.
        """
        if delivery.endpoint is None:
            return [self._deployment]
        name = _name(delivery.endpoint)
        return [self._box.open(delivery.tenant, name, it) for it in delivery.sealed_secrets]


def _name(endpoint: str) -> str:
    return f"webhook:{endpoint}"
