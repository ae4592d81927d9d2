"""The request bodies of webhook endpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from internal.server.complaints import complain
from internal.server.fields import Body
from internal.server.schema import Secret, check_callback
from internal.webhook.model import EventType
from internal.webhook.registry import Change

_BY_DEFAULT = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.PR_CREATED})


def _check_event(name: str) -> str:
    if name not in set(EventType):
        raise complain(f"must be one of: {', '.join(EventType)}")
    return name


Url = Annotated[str, AfterValidator(check_callback)]
Events = Annotated[
    list[Annotated[str, AfterValidator(_check_event)]], Field(min_length=1, max_length=16)
]
Description = Annotated[str, StringConstraints(max_length=256)]


SigningSecret = Annotated[Secret, StringConstraints(min_length=16)]
"""Who can guess it can forge events."""


class NewEndpoint(Body):
    """The body of `POST /webhooks/endpoints`; checked with `TaskRules` as context."""

    url: Url
    events: Events | None = None
    description: Description | None = None
    secret: SigningSecret | None = None

    def chosen_events(self) -> frozenset[EventType]:
        """What a `callback_url` gets, unless others were chosen."""
        return _events(self.events) or _BY_DEFAULT


class ChangedEndpoint(Body):
    """The body of `PATCH /webhooks/endpoints/{id}`."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None

    def change(self) -> Change:
        """What the registry takes."""
        return Change(
            url=self.url,
            events=_events(self.events),
            description=self.description,
            enabled=self.enabled,
        )


class RotateSecret(Body):
    """The body of `POST /webhooks/endpoints/{id}/rotate-secret`."""

    secret: SigningSecret | None = None


def _events(names: list[str] | None) -> frozenset[EventType] | None:
    return frozenset(map(EventType, names)) if names else None
