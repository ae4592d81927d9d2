"""The processes of one machine: what `up` supervises, and `demo` too."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from codeforge.supervisor import ChildSpec
from internal.config.settings import Settings

_SERVER_STOP_SECONDS = 15
_HAND_BACK_SECONDS = 40
"""After its grace a worker ends process trees (12 s), records and hands back."""


def child_stages(settings: Settings, environment: Mapping[str, str]) -> list[list[ChildSpec]]:
    """Worker and server of one machine, in the order in which they are stopped."""

    def spec(name: str, stop_seconds: float) -> ChildSpec:
        argv = [sys.executable, "-m", "codeforge", name, "--data-dir", str(settings.data_dir)]
        return ChildSpec(name=name, argv=argv, environment=environment, stop_seconds=stop_seconds)

    grace = settings.workers.grace_seconds + _HAND_BACK_SECONDS
    return [[spec("worker", grace)], [spec("serve", _SERVER_STOP_SECONDS)]]
