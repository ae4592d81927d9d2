"""
Where a secret may turn up: every file, git object and value in Redis of a deployment, and the words
of all processes.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from tests.support.world import World

Seen = dict[str, bytes]
"""What was found, by where."""

_LOOK_SECONDS = 0.05


def forms(secret: str) -> list[bytes]:
    """*secret* as it is, and as others write it: in a URL, in base64 wherever it begins, in hex."""
    plain = secret.encode()
    # What stands before it shifts the letters; only the groups that are all its own are the same.
    shifted = [base64.b64encode(b"x" * n + plain)[4 if n else 0 :] for n in range(3)]
    return [
        plain,
        quote(secret, safe="").encode(),
        *(text[: len(text) // 4 * 4 - 4] for text in shifted),
        plain.hex().encode(),
    ]


def leaks(seen: Seen, secrets: Iterable[str]) -> list[tuple[str, bytes]]:
    """Each place with the form of a secret that is in it."""
    wanted = [form for secret in secrets for form in forms(secret)]
    return [(name, form) for name, content in seen.items() for form in wanted if form in content]


def files(root: Path, *, without: Path | None = None) -> Iterator[tuple[str, bytes]]:
    """Every file below *root*, but those below *without*."""
    for path in root.rglob("*"):
        if without is not None and path.is_relative_to(without):
            continue
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                yield str(path), path.read_bytes()


def git_objects(root: Path) -> Iterator[tuple[str, bytes]]:
    """The objects of every repository below *root*, unpacked."""
    for objects in root.rglob("objects"):
        if (objects.parent / "HEAD").is_file():
            argv = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer"]
            done = subprocess.run(
                argv, cwd=objects.parent, capture_output=True, check=True, timeout=60
            )
            yield f"the objects of {objects.parent}", done.stdout


async def redis_values(url: str) -> Seen:
    """Every key with its value; byte for byte, because stored diffs are no text."""
    async with Redis.from_url(url, decode_responses=True, encoding="latin-1", protocol=3) as redis:
        world = await World.read(redis, Keys(""))
    return {f"key {name}": json.dumps(value).encode() for name, value in world.values.items()}


def words_now() -> Iterator[tuple[str, bytes]]:
    """The words of every process that runs now."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes()
            yield f"the words {words!r}", words


@contextlib.contextmanager
def command_lines() -> Generator[Seen]:
    """The words of every process that ran during the block and lived for longer than a look."""
    seen: Seen = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            seen.update(words_now())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
