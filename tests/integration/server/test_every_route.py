"""
Every route of the table with every kind of token: other tenants, lesser scopes, none.

The tests go over the route table itself, so a route cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import fields

import httpx2
import pytest
from redis.asyncio import Redis

from internal.access.model import Scope
from internal.access.resolver import CONFIGURED
from internal.ids import random_token
from internal.server.deps import TaskRules
from internal.server.routes import Path, api_paths
from tests.support.belongings import ROWS, Belongings, Reach, home_of, own
from tests.support.redis import RedisServer
from tests.support.service import AGENTS, Service, open_service

pytestmark = pytest.mark.live_keys

RULES = TaskRules(agents=AGENTS, default_agent="demo", pr_wait_seconds=0)

Answers = dict[tuple[str, str], httpx2.Response]


@pytest.fixture
async def service(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Service]:
    async with open_service(redis_server.url, rules=RULES) as opened:
        yield opened


def operations(service: Service) -> Iterator[tuple[str, Path]]:
    """Every (method, row) of this version."""
    for path in api_paths(service.deps):
        for method in path.handlers:
            yield method, path


async def a_client(service: Service, tenant: str, scope: str) -> httpx2.AsyncClient:
    """A client with a token of its own."""
    made = await service.deps.tokens.make(
        CONFIGURED, random_token(), frozenset({scope}), tenant=tenant
    )
    return service.client(made.text)


async def ask_all(client: httpx2.AsyncClient, names: dict[str, str]) -> Answers:
    """The answers to all rows, in their order; closes *client*."""
    answers: Answers = {}
    for (method, template), row in ROWS.items():
        url = f"/api/v1{row.path.format(**names)}"
        answers[method, template] = await client.request(method, url, json=row.body)
    await client.aclose()
    return answers


async def test_every_route_has_a_row(service: Service) -> None:
    """
    A new route says in tests/support/belongings.py what of it belongs to whom.
    """
    served = {(method, path.template) for method, path in operations(service)}

    assert set(ROWS) == served


async def test_another_tenant_finds_nothing(service: Service) -> None:
    """
    404 for whatever is not its own, even for an administrator; and the owner notices nothing.

    The same requests of the owner are not 404, so it is not the requests that are wrong.
    """
    owner = await a_client(service, "owner", "admin")
    names = dict((await own(service, owner)).names())

    async with home_of(service, "owner", names["task"]):
        strangers = await ask_all(await a_client(service, "stranger", "admin"), names)
        owners = await ask_all(owner, names)

    for operation, row in ROWS.items():
        stranger, mine = strangers[operation], owners[operation]
        assert mine.status_code not in {401, 403, 404}, (operation, mine.text)
        match row.reach:
            case Reach.ONE:
                assert stranger.status_code == 404, (operation, stranger.text)
                assert not set(names.values()) & set(stranger.text.split('"')), operation
            case Reach.MANY:
                assert stranger.status_code == 200, operation
                assert not [name for name in names.values() if name in stranger.text], operation
                assert [name for name in names.values() if name in mine.text], operation
            case Reach.NEW | Reach.ALL:
                assert stranger.status_code in {200, 201}, (operation, stranger.text)


@pytest.mark.parametrize("given", list(Scope))
async def test_a_scope_opens_what_it_is_for_and_nothing_else(
    service: Service, given: Scope
) -> None:
    """
    403 where the scope is missing, before anything is read or judged.
    """
    owner = await a_client(service, "owner", "admin")
    names = dict((await own(service, owner)).names())
    await owner.aclose()
    order = list(Scope)

    async with home_of(service, "owner", names["task"]):
        answers = await ask_all(await a_client(service, "owner", given), names)

    for method, path in operations(service):
        answer = answers[method, path.template]
        may = order.index(given) >= order.index(path.scope_of(method))
        assert (answer.status_code != 403) is may, (method, path.template, answer.text)
        if not may:
            assert answer.json()["error"] == "forbidden"


async def test_every_act_that_changes_something_is_noted(service: Service) -> None:
    """
    One entry of the audit log per successful request that is no GET, found by its request id.
    """
    owner = await a_client(service, "owner", "admin")
    names = dict((await own(service, owner)).names())

    async with home_of(service, "owner", names["task"]):
        answers = await ask_all(owner, names)

    noted = {entry.request_id for entry in await service.deps.audit.list("owner", limit=200)}
    for (method, template), answer in answers.items():
        is_act = method != "GET" and answer.is_success
        assert (answer.headers["x-request-id"] in noted) is is_act, (method, template)


async def test_without_a_token_no_route_opens(service: Service) -> None:
    """
    Nor with the text of one that was revoked.
    """
    made = await service.deps.tokens.make(CONFIGURED, "gone", frozenset({"admin"}))
    await service.deps.tokens.revoke(CONFIGURED, "gone")
    names = dict.fromkeys((field.name for field in fields(Belongings)), "x")

    for client in (service.client(token=None), service.client(made.text)):
        answers = await ask_all(client, names)

        assert {answer.status_code for answer in answers.values()} == {401}


async def test_every_limited_route_has_a_window_of_its_own(service: Service) -> None:
    """
    Its name is part of a Redis key and of a header, so it is a plain word.
    """
    windows = [path.window for path in api_paths(service.deps) if path.limited]

    assert len(set(windows)) == len(windows)
    assert all(window.replace("-", "").isalpha() for window in windows)
    assert {"tasks", "instruct", "retry", "verify", "create-pr", "redeliver"} <= set(windows)
