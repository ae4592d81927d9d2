"""
What a recorded tree changes, read for checks: modes, sizes and contents, never a patch.

A patch is made for people, cut and without what is binary; a check before work leaves the house has
to see all of it. Plumbing over the trusted git directory, so nothing in the tree decides what is
seen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from internal.git.cli import Git, Limits, Place
from internal.git.failure import GitFailed

LINK, SUBMODULE, NOTHING = "120000", "160000", "000000"
"""Modes that are no file's."""

_COMPARE = ("diff-tree", "-r", "--raw", "-z", "--no-renames", "--ignore-submodules=none")
_NAMES = Limits(max_output_bytes=256 << 20)
_BATCH_BYTES = 16 << 20
"""Contents held in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path in two trees; a side that has nothing there has the mode `NOTHING`."""

    path: bytes
    old_mode: str
    new_mode: str
    old: str
    new: str
    """Ids of the contents; of a submodule, its commit."""

    @property
    def has_content(self) -> bool:
        """Whether the new side is a file or a link."""
        return self.new_mode not in {NOTHING, SUBMODULE}

    @property
    def had_content(self) -> bool:
        """The same of the old side."""
        return self.old_mode not in {NOTHING, SUBMODULE}


class ChangeReader:
    """What lies between two commits of one git directory."""

    def __init__(self, git: Git, place: Place) -> None:
        self._git = git
        self._place = place

    async def list(self, base: str, head: str) -> tuple[Change, ...]:
        """
        Every path that differs, in git's order.

        Raises:
            GitFailed: a commit is not here, or the names alone are too much.
        """
        said = await self._git.run(*_COMPARE, base, head, place=self._place, limits=_NAMES)
        if said.truncated:
            raise GitFailed("the list of changed files is too long")
        return tuple(_read(said.stdout))

    async def sizes(self, contents: Iterable[str]) -> Mapping[str, int]:
        """Bytes of each content. Raises GitFailed when one is not here."""
        wanted = sorted(set(contents))
        if not wanted:
            return {}
        said = await self._git.run(
            *("cat-file", "--buffer", "--batch-check=%(objectname) %(objectsize)"),
            place=self._place,
            stdin=_lines(wanted),
            limits=_NAMES,
        )
        rows = [line.split() for line in said.stdout.decode().splitlines()]
        if len(rows) != len(wanted) or not all(row[1].isdigit() for row in rows):
            raise GitFailed("a changed file is not among the recorded work")
        return {name: int(size) for name, size in rows}

    async def read(self, sizes: Mapping[str, int]) -> AsyncGenerator[tuple[str, bytes]]:
        """The contents whose *sizes* are given, about 16 MiB of them in memory at once."""
        for batch in _batches(sizes):
            said = await self._git.run(
                *("cat-file", "--buffer", "--batch"),
                place=self._place,
                stdin=_lines(batch),
                limits=Limits(max_output_bytes=sum(sizes[name] + 128 for name in batch)),
            )
            for content in _contents(said.stdout, sizes, batch):
                yield content


def _read(raw: bytes) -> Iterator[Change]:
    fields = iter(raw.split(b"\0"))
    for described, path in zip(fields, fields, strict=False):
        old_mode, new_mode, old, new, _ = described[1:].decode().split(" ")
        yield Change(path=path, old_mode=old_mode, new_mode=new_mode, old=old, new=new)


def _batches(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _BATCH_BYTES
    for name, size in sizes.items():
        if batch and size > room:
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(name)
        room -= size
    if batch:
        yield batch


def _contents(
    said: bytes, sizes: Mapping[str, int], batch: Iterable[str]
) -> Iterator[tuple[str, bytes]]:
    at = 0
    for name in batch:
        start = said.index(b"\n", at) + 1
        at = start + sizes[name] + 1
        yield name, said[start : at - 1]


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
