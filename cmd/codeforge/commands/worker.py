"""`codeforge worker`: one worker process; `--alone` runs what lost two workers, then ends."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import structlog
import typer

from codeforge import runtime
from codeforge.parent import end_with_parent
from codeforge.wiring.core import Secrets, open_core
from codeforge.wiring.worker import open_worker
from internal.config.settings import Settings
from internal.errors import Invalid
from internal.worker.alone import alone_lock

app = typer.Typer()
log = structlog.get_logger(__name__)


@app.command()
def worker(
    *,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    alone: Annotated[bool, typer.Option(help="Run only tasks that lost two workers.")] = False,
) -> None:
    """Run agents."""
    if sys.platform != "linux":
        raise Invalid("Workers need Linux; the server and the command line run here.")
    end_with_parent(os.environ)
    loaded = runtime.load(os.environ, data_dir=data_dir)
    runtime.start_logs(loaded.settings)
    secrets = runtime.find_secrets(loaded.settings)
    runtime.start_logs(loaded.settings, secrets)
    runtime.arm_fault(os.environ)
    if not alone:
        runtime.warn_without_effect(loaded)
    with ExitStack() as stack:
        lock = loaded.settings.data_dir / "alone.lock"
        if alone and not stack.enter_context(alone_lock(lock)):
            return  # another one runs on this home
        stack.enter_context(runtime.tracing(loaded.settings, "worker"))
        runtime.run(_work(loaded.settings, secrets, alone=alone))


async def _work(settings: Settings, secrets: Secrets, *, alone: bool) -> None:
    stop = runtime.stop_event()
    argv = [sys.executable, "-m", "codeforge", "worker", "--alone"]
    argv += ["--data-dir", str(settings.data_dir)]
    async with (
        open_core(settings, secrets) as core,
        open_worker(core, alone=alone, alone_argv=argv) as parts,
    ):
        log.info("worker.started", worker=parts.id, home=parts.home, alone=alone)
        await parts.run(stop)
    log.info("worker.stopped", worker=parts.id)
