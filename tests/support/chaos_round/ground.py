"""
Where a batch happens: Redis, a forge, a receiver, and workers and servers in their places.

Redis is a server of its own with its log on disk before it answers. Workers and servers are
processes; each reaches Redis over a network of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from internal.rdb.embedded import EmbeddedRedis
from tests.support.chaos_round.fleet import Fleet, Nursery, Place, open_nursery
from tests.support.chaos_round.hooks import Hooks, open_hooks
from tests.support.chaos_round.ledger import Ledger
from tests.support.chaos_round.network import network_before
from tests.support.chaos_site import Site, open_site
from tests.support.deployment import free_port
from tests.support.forge import Forge, open_forge

_ROOT = Path(__file__).parents[3]
_WORKERS = 6
_SERVERS = 2
_SLOTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """*seed* is that of the batch; *first* the number of its first task."""

    seed: str
    first: int
    count: int
    real_percent: int = 10
    at_once: int = 100
    """Tasks that are not finished at any time."""
    old_tree: Path | None = None
    """Another version of the project, which half of the workers run."""
    keeps_all: bool = False
    """Also the ledger and the logs of a clean batch."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where a batch happens."""

    plan: BatchPlan
    site: Site
    redis: EmbeddedRedis
    forge: Forge
    hooks: Hooks
    fleet: Fleet
    ledger: Ledger
    ledgers: Path
    servers: Sequence[str]


@asynccontextmanager
async def open_ground(plan: BatchPlan) -> AsyncGenerator[Ground]:
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-r-", dir="/tmp"))
        )
        redis = await stack.enter_async_context(EmbeddedRedis(directory))
        site = await stack.enter_async_context(open_site(redis.url))
        forge = stack.enter_context(open_forge(directory / "forge"))
        hooks = await stack.enter_async_context(open_hooks(plan.seed))
        ledgers, pulls = directory / "ledger", directory / "pulls"
        ledgers.mkdir()
        pulls.mkdir()
        site.variables |= {
            "CHAOS_LEDGER": str(ledgers),
            "CHAOS_PULLS": str(pulls),
            "CODEFORGE_GIT__PROVIDER_DOMAINS": '{"127.0.0.1": "github"}',
            "CODEFORGE_WORKERS__CONCURRENCY": str(_SLOTS),
            "CODEFORGE_WORKERS__GRACE_SECONDS": "2",
            "CODEFORGE_WORKERS__ISOLATION": "none",
            "CODEFORGE_WEBHOOKS__RETRY_COUNT": "8",
            "CODEFORGE_WEBHOOKS__RETRY_DELAY": "0.5",
            "CODEFORGE_QUEUE__REPO_CONCURRENCY": "16",
            "CODEFORGE_LOGGING__LEVEL": "warning",
        }
        ledger = Ledger(ledgers)
        stack.callback(ledger.close)
        fleet = Fleet(await _places(stack, plan, site, directory), ledger.write)
        stack.push_async_callback(fleet.close)
        await fleet.start()
        servers = [place.environment["URL"] for place in fleet.of("server")]
        yield Ground(
            plan=plan,
            site=site,
            redis=redis,
            forge=forge,
            hooks=hooks,
            fleet=fleet,
            ledger=ledger,
            ledgers=ledgers,
            servers=servers,
        )


async def _places(
    stack: AsyncExitStack, plan: BatchPlan, site: Site, directory: Path
) -> list[Place]:
    new = await stack.enter_async_context(open_nursery(_ROOT, directory))
    old = new
    if plan.old_tree is not None:
        old = await stack.enter_async_context(open_nursery(plan.old_tree, directory))
    places: list[Place] = []
    for number in range(_WORKERS + _SERVERS):
        is_server = number >= _WORKERS
        url = urlsplit(site.redis_url)
        network = await stack.enter_async_context(network_before(url.path))
        variables = {"REDIS__URL": f"redis://:{url.password}@127.0.0.1:{network.port}/0"}
        is_of_before = old is not new and number % 2 == 1 and not is_server
        nursery: Nursery = old if is_of_before else new
        home = f"server-{number}" if is_server else f"home-{number // 2}"
        environment = site.environment(home, **variables)
        if is_server:
            port = free_port()
            environment |= {
                "CODEFORGE_SERVER__PORT": str(port),
                "URL": f"http://127.0.0.1:{port}",
            }
        places.append(
            Place(
                name=f"{'server' if is_server else 'worker'}-{number}",
                role="server" if is_server else "worker",
                nursery=nursery,
                environment=environment,
                network=network,
                log=directory / f"place-{number}.log",
                is_of_before=is_of_before,
            )
        )
    return places
