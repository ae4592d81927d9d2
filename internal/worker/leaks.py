"""
Secrets that the work would publish: those of the run itself, and what only a token looks like.

Stricter about shapes than `internal.redact`, which may mask a word too many; here a word too many
refuses somebody's work. What stood in the file before is not new, and does not count.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from internal.git.changes import Change, ChangeReader
from internal.git.diff import readable
from internal.redact import spellings
from internal.task.refusal import refused

_FEWEST_KINDS = 10
"""Different characters; a placeholder (`ghp_xxxx...`) has fewer."""

_LARGEST_OLD_BYTES = 64 << 20
"""Of a file as it was; a larger one is not held in memory, and what is found counts as new."""

# Literal to look for first, and the shape around it. Each is bounded.
_SHAPES: tuple[tuple[bytes, re.Pattern[bytes]], ...] = tuple(
    (literal, re.compile(rb"(?<![A-Za-z0-9_-])" + shape, re.ASCII))
    for literal, shape in (
        (b"gh", rb"gh[oprsu]_[A-Za-z0-9]{36,255}"),
        (b"github_pat_", rb"github_pat_\w{36,255}"),
        (b"glpat-", rb"glpat-[\w-]{20,255}"),
        (b"sk-ant-", rb"sk-ant-[\w-]{32,255}"),
        (b"sk-", rb"sk-(?:proj-|svcacct-)?(?=[\w-]{0,60}[0-9])(?=[\w-]{0,60}[A-Z])[\w-]{40,255}"),
        (b"AKIA", rb"AKIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        (b"AIza", rb"AIza[\w-]{35}(?![\w-])"),
        (b"xox", rb"xox[abeprs]-[\w-]{24,255}"),
        (b"npm_", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
        (
            b"PRIVATE KEY-----",
            rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----[\sA-Za-z0-9+/=:,-]{100}",
        ),
    )
)


async def check_secrets(
    reader: ChangeReader,
    changes: Sequence[Change],
    sizes: Mapping[str, int],
    *,
    known: Collection[str],
) -> None:
    """
    No secret in what *changes* add, contents and names of files: none of *known*, however it is
    spelled, and nothing that looks like a token. *sizes* has both sides of every change.

    Raises:
        Invalid: `secret_in_diff`; the message names the file, never the secret.
    """
    needles = [needle.encode() for secret in known for needle in spellings(secret)]
    names = b"\n".join(change.path for change in changes if not change.had_content)
    if await asyncio.to_thread(_find, names, needles):
        raise refused("secret_in_diff", "The name of a file holds what looks like a secret.")
    before = {change.old for change in changes}
    added = {change.new: change for change in changes if change.has_content}
    unknown = {name: sizes[name] for name in added if name not in before}
    async for name, content in reader.read(unknown):
        found = await asyncio.to_thread(_find, content, needles)
        if found and await _is_new(reader, added[name], sizes, found):
            path = readable(added[name].path)
            raise refused("secret_in_diff", f"{path} holds what looks like a secret.")


async def _is_new(
    reader: ChangeReader, change: Change, sizes: Mapping[str, int], found: Iterable[bytes]
) -> bool:
    is_readable = change.had_content and sizes[change.old] <= _LARGEST_OLD_BYTES
    there = {change.old: sizes[change.old]} if is_readable else {}
    old = b"".join([content async for _, content in reader.read(there)])
    return any(secret not in old for secret in found)


def _find(content: bytes, needles: Iterable[bytes]) -> set[bytes]:
    found = {needle for needle in needles if needle in content}
    for literal, shape in _SHAPES:
        if literal in content:
            found.update(match for match in shape.findall(content) if _is_random(match))
    return found


def _is_random(text: bytes) -> bool:
    return len(set(text)) >= _FEWEST_KINDS and b"EXAMPLE" not in text
