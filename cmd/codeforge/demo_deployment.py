"""
A whole deployment for a demo, as `codeforge up` runs it, in a temporary directory that goes with
it.

Its settings come from a file of its own; of the user's only those of agents count.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from codeforge import runtime
from codeforge.parent import environment_for_child
from codeforge.parts import child_stages
from codeforge.supervisor import Supervisor
from internal.config.load import load_settings
from internal.rdb.embedded import EmbeddedRedis

_GRACE_SECONDS = 2
"""A demo that is stopped does not wait for its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDeployment:
    """Where it runs; `supervisor.kill` ends its parts at once."""

    directory: Path
    data_dir: Path
    url: str
    token: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    supervisor: Supervisor

    @property
    def token_file(self) -> Path:
        return self.data_dir / runtime.SECRETS / runtime.TOKEN_FILE


@asynccontextmanager
async def open_demo(environ: Mapping[str, str]) -> AsyncGenerator[DemoDeployment]:
    """
    Start Redis, a server and a worker on a free port; stop and remove all of it at the end.

    Server and worker may not be ready yet. Raises SettingsError, Unavailable and OSError.
    """
    with tempfile.TemporaryDirectory(prefix="codeforge-demo-") as name:
        directory = Path(name)
        environment = _environment(environ, directory)
        settings = load_settings(environment, directory).settings
        runtime.start_logs(settings)
        runtime.make_secrets(settings)
        secrets = runtime.find_secrets(settings)
        async with EmbeddedRedis(settings.data_dir) as redis:
            environment["CODEFORGE_REDIS__URL"] = redis.url
            supervisor = Supervisor(redis, child_stages(settings, environment))
            async with _running(supervisor):
                yield DemoDeployment(
                    directory=directory,
                    data_dir=settings.data_dir,
                    url=settings.server.base_url,
                    token=secrets.auth_token,
                    webhook_secret=secrets.hmac_secret,
                    supervisor=supervisor,
                )


@asynccontextmanager
async def _running(supervisor: Supervisor) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


def _environment(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """
    What the parts get: *environ* without the settings in it, and a file of settings in *directory*.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("CODEFORGE_") or name.startswith("CODEFORGE_CLI__")
    }
    file = directory / "codeforge.yaml"
    file.write_text(yaml.safe_dump(_settings(directory / "data")), encoding="utf-8")
    return environment_for_child({**kept, "CODEFORGE_CONFIG": str(file)})


def _settings(data_dir: Path) -> dict[str, object]:
    return {
        "data_dir": str(data_dir),
        "server": {"port": _free_port()},
        "workers": {"grace_seconds": _GRACE_SECONDS},
        "git": {"allow_local": True},
        "egress": {"allow": ["127.0.0.0/8"]},
        "logging": {"level": "warning"},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
