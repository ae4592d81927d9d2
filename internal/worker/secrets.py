"""A task's own secrets, opened at the moment of use, in the worker, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from internal.crypto.box import Box
from internal.task.model import Claim
from internal.task.service import secret_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """In clear; never logged, stored or passed on but to git and to the agent's environment."""

    access_token: str | None = field(default=None, repr=False)
    ai_api_key: str | None = field(default=None, repr=False)

    def values(self) -> tuple[str, ...]:
        """What must not appear in anything the run produces."""
        return tuple(value for value in (self.access_token, self.ai_api_key) if value)


def open_secrets(box: Box, claim: Claim) -> Secrets:
    """
    Decrypt what the claim carries.

    Raises:
        SealBroken: a record does not open, for example under another master key.
    """

    def opened(member: str, record: str | None) -> str | None:
        if record is None:
            return None
        return box.open(claim.task.tenant, secret_name(claim.task.id, member), record)

    return Secrets(
        access_token=opened("access_token", claim.access_token),
        ai_api_key=opened("ai_api_key", claim.ai_api_key),
    )
