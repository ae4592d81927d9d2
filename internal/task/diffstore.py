"""
A diff as it is stored in Redis with its iteration, compressed.

It holds what `GET /tasks/{id}/diff` shows and the binary patch, from which another home can
rebuild the work. Beyond the limit only its head and the names of its files are
stored, marked truncated; the home that has the work serves the rest.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

from internal.git.model import Changes, Diff, FileDiff, FileStatus

LIMIT_BYTES = 1024 * 1024
"""Most compressed bytes of one stored diff."""

_NAMES = 2_000
"""Most files named in a truncated diff."""

_MAX_PLAIN_BYTES = 256 * 1024 * 1024
"""Most bytes of one unpacked: a bigger one is stored truncated, and refused when read."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredDiff:
    """
    A diff read back; when `truncated`, `diff` has no patches, and not all files perhaps.

    `withheld`: it is truncated because a secret of the run stands in it, and nobody is asked for
    it.
    """

    diff: Diff
    truncated: bool
    withheld: bool = False


def pack(
    diff: Diff, *, limit_bytes: int | None = LIMIT_BYTES, withhold: bool = False
) -> tuple[bytes, bool]:
    """
    The stored form, and whether it had to be truncated; a limit of None is none.

    *withhold* leaves out everything but names and counts: the text holds a secret.
    """
    if not diff.truncated and not withhold:
        plain = _head(diff, diff.files) + b"\n" + diff.patch
        full = zlib.compress(plain, 6)
        if len(plain) <= _MAX_PLAIN_BYTES and (limit_bytes is None or len(full) <= limit_bytes):
            return full, False
    names = tuple(dataclasses.replace(file, patch=None) for file in diff.files[:_NAMES])
    head = _head(diff, names, truncated=True, withheld=withhold)
    return zlib.compress(head + b"\n", 6), True


def unpack(stored: bytes) -> StoredDiff:
    """What `pack` stored. Raises ValueError when it is not that."""
    packed = zlib.decompressobj()
    try:
        plain = packed.decompress(stored, _MAX_PLAIN_BYTES)
    except zlib.error as error:
        raise ValueError("This is no stored diff.") from error
    if not packed.eof:
        raise ValueError("This stored diff is cut off or too big.")
    head, _, patch = plain.partition(b"\n")
    members: dict[str, Any] = json.loads(head)
    files = tuple(_file(file) for file in members["files"])
    diff = Diff(
        base=members["base"],
        head=members["head"],
        files=files,
        changes=Changes(**members["changes"]),
        patch=patch,
    )
    return StoredDiff(diff=diff, truncated=members["truncated"], withheld=members["withheld"])


def _file(members: dict[str, Any]) -> FileDiff:
    return FileDiff(status=FileStatus(members.pop("status")), **members)


def _head(
    diff: Diff, files: tuple[FileDiff, ...], *, truncated: bool = False, withheld: bool = False
) -> bytes:
    members = {
        "base": diff.base,
        "head": diff.head,
        "changes": dataclasses.asdict(diff.changes),
        "files": [dataclasses.asdict(file) for file in files],
        "truncated": truncated,
        "withheld": withheld,
    }
    return json.dumps(members).encode()
