"""
What an operator can do with registered endpoints: make, look at, change, rotate, try, remove.

A secret is shown once, when it is made. Rotating keeps the one before valid for a day, so a
receiver can be changed at any moment in between.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from internal.clock import Clock, from_millis, rfc3339
from internal.errors import Conflict, NotFound
from internal.ids import random_token, sortable_id
from internal.webhook.codec import encode_events
from internal.webhook.model import Endpoint, EventType
from internal.webhook.secrets import SigningSecrets, make_secret
from internal.webhook.signer import Signer
from internal.webhook.store import WebhookStore

MOST_ENDPOINTS = 20
"""Of one tenant: the script that ends a run writes a delivery for each."""

_OVERLAP_MILLIS = 24 * 3600 * 1000
_MOST_OLD_SECRETS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WithSecret:
    """An endpoint and the secret that was just made for it."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be changed; None leaves a member as it is."""

    url: str | None = None
    events: frozenset[EventType] | None = None
    description: str | None = None
    enabled: bool | None = None


class EndpointRegistry:
    """The endpoints of all tenants. Redis' own errors pass through."""

    def __init__(self, store: WebhookStore, secrets: SigningSecrets, clock: Clock) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock

    async def create(
        self,
        tenant: str,
        *,
        url: str,
        events: frozenset[EventType],
        description: str = "",
        secret: str | None = None,
    ) -> WithSecret:
        """
        Register *url* for *events*, with *secret* or a new one.

        Raises:
            Invalid: the secret is no usable one (`fields` names it).
            Conflict: the tenant has as many endpoints as it may.
        """
        chosen = secret or make_secret()
        Signer(chosen)
        endpoint = Endpoint(
            id=sortable_id(),
            url=url,
            events=events,
            description=description,
            created_at=self._clock.now(),
            revision=1,
        )
        fields: dict[str, str | int] = {
            "url": url,
            "description": description,
            "revision": 1,
            "secret:1": self._secrets.seal(tenant, endpoint.id, 1, chosen),
        }
        word, *rest = await self._store.create(
            tenant,
            endpoint.id,
            most=MOST_ENDPOINTS,
            events=encode_events(events),
            fields=fields,
        )
        if word == "full":
            raise Conflict(f"A tenant has at most {MOST_ENDPOINTS} webhook endpoints.")
        made = replace(endpoint, created_at=from_millis(int(rest[0])))
        return WithSecret(endpoint=made, secret=chosen)

    async def get(self, tenant: str, endpoint: str) -> Endpoint:
        """Raises NotFound."""
        found = await self._store.find(tenant, endpoint)
        if found is None:
            raise _not_found()
        return found

    async def list(self, tenant: str) -> Sequence[Endpoint]:
        """All of a tenant, oldest first; at most `MOST_ENDPOINTS`."""
        return await self._store.endpoints(tenant)

    async def change(self, tenant: str, endpoint: str, change: Change) -> Endpoint:
        """
        Change what *change* says; what waits goes to the new URL. Raises NotFound.

        Switching on forgets the failures; what was given up meanwhile can be redelivered.
        """
        fields: dict[str, str | int] = {}
        if change.url is not None:
            fields["url"] = change.url
        if change.description is not None:
            fields["description"] = change.description
        if change.events is not None:
            fields["events"] = encode_events(change.events)
        switch = "" if change.enabled is None else str(int(change.enabled))
        word = await self._store.change(tenant, endpoint, switch=switch, fields=fields)
        if word == "missing":
            raise _not_found()
        return await self.get(tenant, endpoint)

    async def rotate(self, tenant: str, endpoint: str, secret: str | None = None) -> WithSecret:
        """
        Sign with *secret* or a new one, and for 24 h with the one before as well.

        Raises:
            Invalid: the secret is no usable one.
            NotFound.
        """
        chosen, operation = secret or make_secret(), random_token()
        Signer(chosen)
        revision = (await self.get(tenant, endpoint)).revision + 1
        while True:
            word, *rest = await self._store.rotate(
                tenant,
                endpoint,
                operation,
                revision=revision,
                sealed=self._secrets.seal(tenant, endpoint, revision, chosen),
                overlap_millis=_OVERLAP_MILLIS,
                most_old=_MOST_OLD_SECRETS,
            )
            if word == "missing":
                raise _not_found()
            if word == "ok":
                return WithSecret(endpoint=await self.get(tenant, endpoint), secret=chosen)
            revision = int(rest[0]) + 1

    async def delete(self, tenant: str, endpoint: str) -> None:
        """Forget it; what waits for it is given up. Raises NotFound."""
        if await self._store.delete(tenant, endpoint, random_token()) == "missing":
            raise _not_found()

    async def send_test(self, tenant: str, endpoint: str) -> str:
        """
        Post an event `webhook.test`; the id of its delivery.

        Raises:
            NotFound, Conflict (it is switched off).
        """
        stands_for = sortable_id()
        event = {"type": "webhook.test", "endpoint_id": endpoint}
        body = json.dumps({**event, "sent_at": rfc3339(self._clock.now())})
        word, *rest = await self._store.post_test(
            tenant, endpoint, event_id=f"evt_{stands_for}_0", body=body, task=stands_for
        )
        if word == "missing":
            raise _not_found()
        if word == "off":
            raise Conflict("The endpoint is switched off.")
        return str(rest[0])


def _not_found() -> NotFound:
    return NotFound("There is no such webhook endpoint.")
