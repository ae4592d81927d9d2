"""api/openapi.yaml and the routes say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openapi_spec_validator import validate
from pydantic import BaseModel

from internal.access.model import Scope
from internal.server.routes import API, Path, api_paths, public_paths
from internal.server.schema import CreateTask, Instruct, TaskConfigBody
from internal.server.schema_mcp import McpServerBody
from internal.server.schema_pulls import PullRequestBody
from internal.server.schema_webhooks import ChangedEndpoint, NewEndpoint, RotateSecret
from internal.task.model import Reason
from internal.task.state import State
from internal.webhook.model import EventType, Off, Progress
from tests.support.openapi import operations, spec
from tests.support.service import Clients, make_deps

EVERY_API_ROUTE = {"400", "401", "500", "503"}
WITH_A_BODY = {"408", "413", "415"}
"""POST and DELETE read their body, if only to refuse what they would ignore."""


def table() -> list[Path]:
    """Every row of this version, by its whole path."""
    deps = make_deps(Clients.to("unix:///nowhere"), [])
    inside = [replace(path, template=f"{API}{path.template}") for path in api_paths(deps)]
    return [*inside, *public_paths(deps)]


async def test_the_description_is_valid() -> None:
    """
    OpenAPI 3.1, as its own schema has it.
    """
    validate(dict(spec()))

    assert spec()["openapi"] == "3.1.0"


async def test_every_route_is_described_and_nothing_else() -> None:
    """
    The same paths with the same methods.
    """
    served = {(method, path.template) for path in table() for method in path.handlers}

    described = {(method, path) for method, path, _ in operations()}

    assert described == served


async def test_every_route_describes_the_errors_it_can_send() -> None:
    """
    Which errors those are follows from the kind of the route.
    """
    rows = {path.template: path for path in table()}

    for method, path, operation in operations():
        row = rows[path]
        expected = {"500"} if row.is_stream else {"500", "504"}
        if path.startswith(API):
            expected |= EVERY_API_ROUTE
            if method != "GET":
                expected |= WITH_A_BODY
            if row.scope_of(method) is not Scope.READ:  # which every token has
                expected |= {"403"}
            if method in row.limited_methods():
                expected |= {"429"}
            if "{task_id}" in path:
                expected |= {"404"}
        assert expected <= set(operation["responses"]), (method, path)


async def test_only_public_routes_need_no_token() -> None:
    """
    `security: []` stands where no token is asked for, and only there.
    """
    for _, path, operation in operations():
        assert (operation.get("security") == []) is not path.startswith(API), path


def members_of(model: type[BaseModel]) -> set[str]:
    """What a body can say in this version; members of later ones only take null."""
    later = type(None)
    return {name for name, field in model.model_fields.items() if field.annotation is not later}


def described_members(schema: dict[str, Any]) -> set[str]:
    assert schema["additionalProperties"] is False
    return set(schema["properties"])


async def test_bodies_have_the_members_that_are_described() -> None:
    """
    No member more, none less.
    """
    schemas = spec()["components"]["schemas"]
    instruct = spec()["paths"][f"{API}/tasks/{{task_id}}/instruct"]["post"]["requestBody"]

    assert described_members(schemas["CreateTask"]) == members_of(CreateTask)
    assert described_members(schemas["CreateTaskConfig"]) == members_of(TaskConfigBody)
    assert described_members(schemas["NewWebhookEndpoint"]) == members_of(NewEndpoint)
    assert described_members(schemas["ChangedWebhookEndpoint"]) == members_of(ChangedEndpoint)
    assert described_members(schemas["RotateSecret"]) == members_of(RotateSecret)
    assert described_members(schemas["NewMcpServer"]) == members_of(McpServerBody)
    assert described_members(schemas["PullRequestOptions"]) == members_of(PullRequestBody)
    content = instruct["content"]["application/json"]
    assert described_members(content["schema"]) == members_of(Instruct)


async def test_enumerations_are_the_ones_of_the_code() -> None:
    """
    States and reasons of failures.
    """
    schemas = spec()["components"]["schemas"]

    assert set(schemas["State"]["enum"]) == set(State)
    assert set(schemas["FailureReason"]["enum"]) == set(Reason)
    assert set(schemas["WebhookEvent"]["enum"]) == set(EventType)
    assert set(schemas["DeliveryStatus"]["enum"]) == set(Progress)
    off = schemas["WebhookEndpoint"]["properties"]["disabled_reason"]["enum"]
    assert set(off) == set(Off)
