"""
Secrets that nobody configured: made once, kept in files of mode 0600 under `{data_dir}/secrets/`.

Only the commands for one machine (`up`, `demo`) make them: on many machines each would have its
own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from internal.config.error import SettingsError
from internal.ids import random_token


def ensure_secret(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """
    The secret in the file *path*, and whether it was made by this call.

    The file is complete or not there at all, and of two processes that make it at once both get the
    same value.

    Raises:
        SettingsError: the file is empty.
        OSError: the disk refuses.
    """
    if (found := read_secret(path)) is not None:
        return found, False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{random_token()}")
    try:
        _write(partial, value := make())
        os.link(partial, path)  # unlike a rename, this fails when somebody was faster
        _sync_directory(path.parent)
    except FileExistsError:
        return ensure_secret(path, make)
    finally:
        partial.unlink(missing_ok=True)
    return value, True


def read_secret(path: Path) -> str | None:
    """
    What `ensure_secret` wrote, None when there is no such file.

    Raises:
        SettingsError: the file is empty.
        OSError: it cannot be read.
    """
    try:
        value = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if not value:
        raise SettingsError({str(path): "is empty; remove it to have a new secret made"})
    return value


def _write(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
