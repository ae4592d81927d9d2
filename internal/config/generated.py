"""
Secrets that nobody configured: made once, kept in files of mode 0600 under `{data_dir}/secrets/`.

Only the commands for one machine (`up`, `demo`) make them: on many machines each would have its
own.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from internal.config.error import SettingsError
from internal.config.settings import Settings, leaf
from internal.crypto.bearer import make_token
from internal.crypto.masterkey import make_key
from internal.ids import random_token


def make_hmac_secret() -> str:
    """A new secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


_MAKERS: dict[str, Callable[[], str]] = {
    "server.auth_token": make_token,
    "encryption.key": make_key,
    "webhooks.hmac_secret": make_hmac_secret,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A setting whose value is from a file of ours; `created` when that was just made."""

    path: str
    file: Path
    created: bool


def secret_file(data_dir: Path, path: str) -> Path:
    """Where the generated value of the setting *path* lies."""
    return data_dir / "secrets" / path.replace(".", "_")


def with_generated(settings: Settings) -> tuple[Settings, list[Generated]]:
    """
    *settings* with every secret that was left empty, from its file; made when there is none.

    Raises:
        SettingsError: a file is there and empty.
        OSError: the disk refuses.
    """
    made: list[Generated] = []
    for path, make in _MAKERS.items():
        secret = leaf(settings, path)
        if isinstance(secret, SecretStr) and not secret.get_secret_value():
            file = secret_file(settings.data_dir, path)
            value, created = ensure_secret(file, make)
            settings = _replaced(settings, path, SecretStr(value))
            made.append(Generated(path=path, file=file, created=created))
    return settings, made


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


def _replaced(settings: Settings, path: str, value: SecretStr) -> Settings:
    section, _, name = path.partition(".")
    changed = getattr(settings, section).model_copy(update={name: value})
    return settings.model_copy(update={section: changed})
