"""`codeforge keys status`, `rotate` and `rewrap`: what they say and what they do."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from codeforge import runtime
from codeforge.commands.keys import app
from internal.config.load import load_settings
from internal.config.settings import Settings
from internal.crypto.keyring import Keyring
from internal.keys.model import KeyProvider, NewKey
from internal.keys.registry import KeyRegistry
from internal.keys.store import KeyStore
from internal.rdb.client import connect
from internal.rdb.keys import Keys
from internal.rdb.masterkeys import MasterKeys
from tests.support.key_desk import StillClock
from tests.support.redis import RedisServer

TENANT, VALUE = "default", "a-value-0123456789"


class Place:
    """A deployment whose processes are started and stopped by name, and the commands beside it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.environment = {
            "HOME": str(directory),
            "CODEFORGE_DATA_DIR": str(directory / "data"),
            "CODEFORGE_REDIS__URL": url,
            "CODEFORGE_REDIS__PREFIX": "rotation:",
        }
        self.secrets = directory / "data" / "secrets"
        self._redis = connect(url, role="command")
        self._loop = asyncio.Runner()
        self._running: dict[str, MasterKeys] = {}

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment, Path("/")).settings

    def run(self, *words: str, **settings: str) -> Any:
        """`codeforge keys WORDS`."""
        given = {f"CODEFORGE_{name}": value for name, value in settings.items()}
        return CliRunner().invoke(app, words, env={**self.environment, **given})

    def restart(self, *names: str) -> None:
        """Processes end and start with the keys that lie there now."""
        for name in names:
            if name in self._running:
                self._loop.run(self._running[name].leave())
            ring = runtime.find_keyring(self.settings)
            self._running[name] = MasterKeys(self._redis, Keys("rotation:"), ring)
            self._loop.run(self._running[name].admit())

    def seal(self, name: str) -> None:
        """Register a key as a server does."""
        registry = self._registry(runtime.find_keyring(self.settings))
        new = NewKey(name=name, provider=KeyProvider.GITHUB)
        self._loop.run(registry.create(TENANT, new, VALUE))

    def opens(self, name: str, ring: Keyring) -> bool:
        """Whether a worker with these keys can use the key."""
        return self._loop.run(self._registry(ring).open(TENANT, name))[1] == VALUE

    def clear(self) -> None:
        """Erase everything in Redis."""
        self._loop.run(cast("Coroutine[Any, Any, bool]", self._redis.flushall()))

    def close(self) -> None:
        self._loop.run(self._redis.aclose())
        self._loop.close()

    def _registry(self, ring: Keyring) -> KeyRegistry:
        return KeyRegistry(KeyStore(self._redis, Keys("rotation:")), ring.box(), StillClock())


@pytest.fixture
def place(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    for name in ("CODEFORGE_URL", "CODEFORGE_TOKEN", "CODEFORGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    made = Place(tmp_path, redis_server.url)
    made.clear()
    runtime.make_secrets(made.settings)
    yield made
    made.clear()
    made.close()


def test_the_master_key_is_changed_in_four_steps(place: Place) -> None:
    """
    Known, active, rewrapped, dropped: each step says what comes next, none can be done too early,
    and what was sealed before stays readable all the time.
    """
    active = place.secrets / "encryption_key"
    before, kid = active.read_text(), runtime.find_keyring(place.settings).active
    place.restart("server", "worker")
    place.seal("a")

    made = place.run("rotate")
    early = place.run("rotate")
    assert (made.exit_code, early.exit_code) == (0, 1)
    assert "Restart every process" in made.output
    assert "2 live processes do not know the key" in early.output
    assert active.read_text() == before

    place.restart("server")
    assert "1 live processes do not know" in place.run("rotate").output
    place.restart("worker")
    activated = place.run("rotate")
    kept = active.with_name(f"encryption_key.{kid}")
    assert activated.exit_code == 0, activated.output
    assert str(kept) in activated.output
    assert kept.read_text() == before
    assert kept.stat().st_mode & 0o077 == 0
    ring = runtime.find_keyring(place.settings)
    assert ring.active != kid

    place.restart("server")  # it seals with the new key, the worker with the old one still
    place.seal("b")
    halfway = place.run("rewrap")
    assert halfway.exit_code == 0, halfway.output
    assert "1 values moved" in halfway.output
    assert "Nothing is under" not in halfway.output
    assert place.opens("a", ring)

    place.restart("worker")
    assert f"Nothing is under the key {kid} any more" in place.run("rewrap").output
    kept.unlink()
    place.restart("server", "worker")
    alone = runtime.find_keyring(place.settings)
    assert alone.kids == (ring.active,)
    assert place.opens("a", alone)
    assert place.opens("b", alone)
    standing = json.loads(place.run("status", "--json").output)
    assert standing == {
        "rows": [
            {
                "kid": ring.active,
                "seals": 2,
                "known_by": 2,
                "values": 2,
                "is_configured": True,
            }
        ],
        "processes": 2,
    }


def test_a_cut_activation_keeps_both_keys(place: Place) -> None:
    """
    Killed between its two steps, the command can be called again.
    """
    place.restart("server")
    place.run("rotate")
    place.restart("server")
    kid = runtime.find_keyring(place.settings).active
    kept = place.secrets / f"encryption_key.{kid}"
    kept.write_text((place.secrets / "encryption_key").read_text())  # as far as it came

    assert kid in runtime.find_keyring(place.settings).kids
    assert place.run("rotate").exit_code == 0
    assert kid in runtime.find_keyring(place.settings).kids


def test_status_names_what_is_missing_here(place: Place) -> None:
    """
    A machine that lacks a key that values may be under sees it at a glance.
    """
    place.restart("server")
    place.seal("a")
    kid = runtime.find_keyring(place.settings).active
    other = "JsVjRnH1nY3GmqRdJ0T6VvZ9mF1oT6gkTn4cXyqS0wE="

    shown = place.run("status", ENCRYPTION__KEY=other)
    refused = place.run("rewrap", ENCRYPTION__KEY=other)

    assert f"{kid}  seals 1  known by 1 of 1 processes  active in 1  not config" in shown.output
    assert refused.exit_code != 0
    assert "1 master keys that values may be under" in str(refused.exception)
    assert other not in shown.output + refused.output


def test_a_key_of_settings_is_changed_by_hand(place: Place) -> None:
    """
    The steps are printed; no key is made, and none is shown.
    """
    text = "JsVjRnH1nY3GmqRdJ0T6VvZ9mF1oT6gkTn4cXyqS0wE="

    done = place.run("rotate", ENCRYPTION__KEY=text)

    assert done.exit_code == 0
    assert "openssl rand -base64 32" in done.output
    assert text not in done.output
    assert not (place.secrets / "encryption_key.next").exists()


def test_a_bad_key_is_named_without_its_text(place: Place) -> None:
    """
    Of several keys in settings, the wrong one is told.
    """
    done = place.run("status", ENCRYPTION__KEYS='{"next": "hunter22"}')

    assert done.exit_code != 0
    assert "encryption.keys.next" in str(done.exception)
    assert "hunter22" not in str(done.exception) + done.output
