"""Webhooks: registered endpoints, and what became of deliveries."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from internal.errors import NotFound
from internal.server.body import read_json
from internal.server.deps import ServerDeps
from internal.server.document import json_response
from internal.server.document_webhooks import delivery_document, endpoint_document
from internal.server.query import Query, page_limit, read_choice, read_text
from internal.server.request import caller_of, expect_nothing, tenant_of
from internal.server.schema_webhooks import ChangedEndpoint, NewEndpoint, RotateSecret
from internal.webhook.deliveries import Cursor
from internal.webhook.model import Progress

_ENDPOINT_ID = re.compile(r"[0-9a-z]{26}\Z")
_DELIVERY_ID = re.compile(r"evt_[0-9a-z_]{1,96}\Z")
_CURSOR = re.compile(r"(\d{1,16})\.(evt_[0-9a-z_]{1,96})\Z")


class WebhookHandlers:
    """The handlers, over the registry and the delivery log."""

    def __init__(self, deps: ServerDeps) -> None:
        self._endpoints = deps.webhooks
        self._deliveries = deps.deliveries
        self._rules = deps.rules
        self._audit = deps.audit

    async def create(self, request: Request) -> Response:
        """201 with the endpoint and, this once, its secret."""
        Query(request).finish()
        body = await read_json(request, NewEndpoint, self._rules)
        made = await self._endpoints.create(
            tenant_of(request),
            url=body.url,
            events=body.chosen_events(),
            description=body.description or "",
            secret=body.secret or None,
        )
        await self._audit.record(caller_of(request), "webhook.create", made.endpoint.id)
        where = f"{request.scope['root_path']}/webhooks/endpoints/{made.endpoint.id}"
        return json_response(
            endpoint_document(made.endpoint, made.secret), 201, {"Location": where}
        )

    async def list(self, request: Request) -> Response:
        """All endpoints of the tenant."""
        Query(request).finish()
        endpoints = await self._endpoints.list(tenant_of(request))
        return json_response({"endpoints": [endpoint_document(it) for it in endpoints]})

    async def read(self, request: Request) -> Response:
        """One endpoint, with its health."""
        Query(request).finish()
        endpoint = await self._endpoints.get(tenant_of(request), _endpoint_of(request))
        return json_response(endpoint_document(endpoint))

    async def change(self, request: Request) -> Response:
        """Change some members."""
        Query(request).finish()
        body = await read_json(request, ChangedEndpoint, self._rules)
        tenant, endpoint = tenant_of(request), _endpoint_of(request)
        changed = await self._endpoints.change(tenant, endpoint, body.change())
        names = ",".join(sorted(body.model_dump(exclude_none=True)))
        await self._audit.record(caller_of(request), "webhook.change", endpoint, members=names)
        return json_response(endpoint_document(changed))

    async def delete(self, request: Request) -> Response:
        """Forget an endpoint."""
        await expect_nothing(request)
        endpoint = _endpoint_of(request)
        await self._endpoints.delete(tenant_of(request), endpoint)
        await self._audit.record(caller_of(request), "webhook.delete", endpoint)
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """The endpoint with its new secret; the old one is valid for another day."""
        Query(request).finish()
        body = await read_json(request, RotateSecret)
        endpoint = _endpoint_of(request)
        made = await self._endpoints.rotate(tenant_of(request), endpoint, body.secret or None)
        await self._audit.record(caller_of(request), "webhook.rotate_secret", endpoint)
        return json_response(endpoint_document(made.endpoint, made.secret))

    async def test(self, request: Request) -> Response:
        """202 with the id of a delivery of `webhook.test`."""
        await expect_nothing(request)
        endpoint = _endpoint_of(request)
        delivery = await self._endpoints.send_test(tenant_of(request), endpoint)
        await self._audit.record(caller_of(request), "webhook.test", endpoint)
        return json_response({"delivery_id": delivery}, 202)

    async def deliveries(self, request: Request) -> Response:
        """Deliveries that match, newest first."""
        query = Query(request)
        task = query.one("task_id", read_text)
        status = query.one("status", read_choice(Progress))
        limit = page_limit(query)
        cursor = query.one("cursor", _read_cursor)
        query.finish()
        page = await self._deliveries.list(
            tenant_of(request),
            task=task,
            status=None if status is None else Progress(status),
            limit=limit,
            cursor=cursor,
        )
        after = page.next_cursor
        return json_response(
            {
                "deliveries": [delivery_document(record) for record in page.deliveries],
                "next_cursor": None if after is None else f"{after[0]}.{after[1]}",
            }
        )

    async def redeliver(self, request: Request) -> Response:
        """202: it is due now."""
        await expect_nothing(request)
        delivery: str = request.path_params["id"]
        if not _DELIVERY_ID.match(delivery):
            raise NotFound("There is no such delivery.")
        await self._deliveries.redeliver(tenant_of(request), delivery)
        await self._audit.record(caller_of(request), "webhook.redeliver", delivery)
        return json_response({"id": delivery, "status": Progress.PENDING}, 202)


def _endpoint_of(request: Request) -> str:
    """The id in the path. Raises NotFound for what can be none."""
    endpoint: str = request.path_params["id"]
    if not _ENDPOINT_ID.match(endpoint):
        raise NotFound("There is no such webhook endpoint.")
    return endpoint


def _read_cursor(text: str) -> Cursor:
    parts = _CURSOR.match(text)
    if parts is None:
        raise ValueError("must be the next_cursor of an earlier answer")
    return int(parts[1]), parts[2]
