"""
Whose secret signs a delivery: that of its endpoint, or the deployment's for a `callback_url`.

An endpoint's secrets are sealed in Redis and opened here, at the moment of use.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence

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

    def __init__(self, box: Box, deployment_secret: str, old_secrets: Sequence[str] = ()) -> None:
        """
        Take `webhooks.hmac_secret`, and the `webhooks.old_hmac_secrets` that still sign beside it.

        Raises:
            Invalid: one of them is no usable one; the setting is named.
        """
        self._box = box
        self._deployment = (deployment_secret, *old_secrets)
        _check("webhooks.hmac_secret", deployment_secret)
        for secret in old_secrets:
            _check("webhooks.old_hmac_secrets", secret)

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
            return list(self._deployment)
        name = _name(delivery.endpoint)
        return [self._box.open(delivery.tenant, name, it) for it in delivery.sealed_secrets]


def _check(setting: str, secret: str) -> None:
    try:
        Signer(secret)
    except Invalid as error:
        problem = error.fields["secret"]
        raise Invalid(f"{setting} {problem}.", fields={setting: problem}) from error


def _name(endpoint: str) -> str:
    return f"webhook:{endpoint}"
