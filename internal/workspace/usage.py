"""How much disk each workspace of this home takes, measured in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from internal.workspace.files import disk_bytes
from internal.workspace.manager import Workspaces

_MIB = 1 << 20
_SOON_SECONDS = 4.0
"""Whoever asks waits 10 s for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupied:
    """
    The workspace of one task here. Bytes are allocated blocks; times in seconds since the epoch.
    """

    tenant: str
    task: str
    size_bytes: int
    created_at: float
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One claim's part of a workspace."""

    tenant: str
    task: str
    claim: str
    size_bytes: int
    used_at: float


class WorkspaceUsage:
    """Sizes as they were last measured; whoever wants newer ones measures."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces
        self._sizes: dict[tuple[str, str, str], int] = {}

    @property
    def total_bytes(self) -> int:
        """Of all workspaces, those of failed and running runs too."""
        return sum(self._sizes.values())

    @property
    def mebibytes(self) -> float:
        """The same, for `/health` and the registry."""
        return round(self.total_bytes / _MIB, 1)

    async def measure(self) -> list[Measured]:
        """Look at every file of every workspace now."""
        found = await self._look(known={}, until=None)
        self._sizes = {(part.tenant, part.task, part.claim): part.size_bytes for part in found}
        return found

    async def of_tenant(self, tenant: str) -> list[Occupied]:
        """
        A tenant's workspaces; sizes from the last measurement, of new ones what is found soon.
        """
        tasks: dict[str, list[Measured]] = {}
        for part in await self._look(known=self._sizes, until=time.monotonic() + _SOON_SECONDS):
            if part.tenant == tenant:
                tasks.setdefault(part.task, []).append(part)
        held = await self._workspaces.list()
        return [
            Occupied(
                tenant=tenant,
                task=task,
                size_bytes=sum(part.size_bytes for part in parts),
                created_at=held[tenant, task].created_at,
                used_at=max(part.used_at for part in parts),
            )
            for task, parts in tasks.items()
            if (tenant, task) in held
        ]

    async def _look(
        self, *, known: Mapping[tuple[str, str, str], int], until: float | None
    ) -> list[Measured]:
        found: list[Measured] = []
        for (tenant, task), held in (await self._workspaces.list()).items():
            for claim, used_at in held.claims.items():
                size = known.get((tenant, task, claim))
                if size is None:
                    folder = self._workspaces.folder(task, claim)
                    size = await asyncio.to_thread(disk_bytes, folder, until=until)
                found.append(
                    Measured(
                        tenant=tenant, task=task, claim=claim, size_bytes=size, used_at=used_at
                    )
                )
        return found
