"""
Worker processes with a fault that is built in; for `Site.start(program=...)`.

    hang    on SIGUSR1 the event loop hangs for ever
    mute    no webhook leaves it: what it finishes stays in the outbox
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from codeforge import runtime
from codeforge.wiring.core import open_core
from codeforge.wiring.worker import open_worker
from internal.webhook.dispatcher import Dispatcher


async def _work(fault: str) -> None:
    stop = runtime.stop_event()
    settings = runtime.load(os.environ, data_dir=Path(os.environ["CODEFORGE_DATA_DIR"])).settings
    secrets = runtime.find_secrets(settings)
    runtime.start_logs(settings, secrets)
    runtime.arm_fault(os.environ)
    async with open_core(settings, secrets) as core, open_worker(core) as worker:
        if fault == "hang":
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hang_for_ever)
        loops = worker.serving
        if fault == "mute":
            loops = tuple(loop for loop in worker.serving if not isinstance(loop, Dispatcher))
        await replace(worker, serving=loops).run(stop)


def hang_for_ever() -> None:
    """What a call that blocks does to an event loop; its name must be in the stacks."""
    threading.Event().wait()


if __name__ == "__main__":
    runtime.run(_work(sys.argv[1]))
