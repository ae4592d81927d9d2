"""What every long-running command does first: settings, logs, and the deployment's own secrets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
import uvloop

from codeforge import __version__, lean
from codeforge.parent import PARENT_VARIABLE
from codeforge.wiring.collector import find_collector
from codeforge.wiring.core import Secrets
from codeforge.wiring.isolation import open_isolation
from codeforge.wiring.policy import open_policy, open_prices
from internal.config.effect import without_effect
from internal.config.error import SettingsError
from internal.config.generated import ensure_secret
from internal.config.load import Loaded, load_settings
from internal.config.settings import Settings
from internal.crypto.bearer import make_token
from internal.crypto.keyring import Keyring
from internal.crypto.masterkey import is_weak, make_key, parse_key
from internal.errors import Invalid
from internal.fault import arm
from internal.redact import KNOWN
from internal.telemetry.logs import configure

if TYPE_CHECKING:
    from internal.telemetry.otel import Tracing

log = structlog.get_logger(__name__)

SECRETS = "secrets"
TOKEN_FILE = "auth_token"  # noqa: S105 -- a file's name
KEY_FILE = "encryption_key"
HMAC_FILE = "hmac_secret"
FAULT_VARIABLE = "FAULT"


def load(environ: Mapping[str, str], *, data_dir: Path | None = None) -> Loaded:
    """
    The settings of this process; *data_dir* wins over what they say.

    Raises:
        SettingsError: all complaints at once.
    """
    if data_dir is not None:
        environ = {**environ, "CODEFORGE_DATA_DIR": str(data_dir.absolute())}
    return load_settings(environ, Path.cwd())


def start_logs(settings: Settings, secrets: Secrets | None = None) -> None:
    """Configure this process' logs; from then on its secrets are taken out of every line."""
    KNOWN.add(*filter(None, [urlsplit(settings.redis.url.get_secret_value()).password]))
    if secrets is not None:
        KNOWN.add(secrets.auth_token, secrets.hmac_secret, *secrets.old_hmac_secrets)
    form = settings.logging.format
    if form == "auto":
        form = "console" if sys.stderr.isatty() else "json"
    configure(
        level=settings.logging.level,
        form="json" if form == "json" else "console",
        redact=KNOWN.redact,
    )


def check_parts(loaded: Loaded) -> None:
    """
    Before anything is started: what a server or a worker would refuse when it starts.

    Raises:
        SettingsError: the isolation that is asked for does not work here.
        Invalid: the policy or the table of prices that is asked for is missing or broken.
    """
    open_policy(loaded.settings)
    open_prices(loaded.settings)
    if loaded.settings.workers.isolation == "bwrap":
        try:
            asyncio.run(open_isolation(loaded.settings))
        except Invalid as error:
            raise SettingsError({"workers.isolation": error.message}) from error


@contextmanager
def tracing(settings: Settings, process: str) -> Generator[Tracing | None]:
    """
    Record spans as the settings say, as long as the context lasts; None where they say not to.

    Raises:
        Invalid: the settings of tracing contradict each other, or name what is not there.
    """
    if not settings.tracing.enabled:
        yield None
        return
    lean.allow()
    # Costs 9 MiB, so only those pay who use it.
    from internal.telemetry.otel import TracingOptions, open_tracing  # noqa: PLC0415

    exporter = settings.tracing.exporter
    collector = find_collector(settings, os.environ) if exporter.startswith("otlp") else None
    if collector is not None:
        KNOWN.add(*collector.secrets())
    opened = open_tracing(
        TracingOptions(
            process=process,
            version=__version__,
            sampling_rate=settings.tracing.sampling_rate,
            collector=collector,
            console=exporter == "console",
        )
    )
    try:
        yield opened
    finally:
        opened.close()


def warn_without_effect(loaded: Loaded) -> None:
    """Name the settings that somebody made and that do nothing in this version."""
    for name in without_effect(loaded):
        log.warning("settings.without_effect", setting=name, source=loaded.sources[name])


def make_secrets(settings: Settings) -> list[Path]:
    """Make what the deployment lacks, into 0600 files; the paths of what is new."""
    directory = settings.data_dir / SECRETS
    wanted = (
        (settings.server.auth_token, TOKEN_FILE, make_token),
        (settings.encryption.key, KEY_FILE, make_key),
        (settings.webhooks.hmac_secret, HMAC_FILE, lambda: f"whsec_{make_key()}"),
    )
    made: list[Path] = []
    for configured, name, make in wanted:
        if not configured.get_secret_value() and ensure_secret(directory / name, make)[1]:
            made.append(directory / name)
    return made


def find_secrets(settings: Settings) -> Secrets:
    """
    The deployment's secrets, from settings or the files of its `data_dir`.

    Raises:
        Invalid: one is missing; all that are missing are named.
    """
    directory = settings.data_dir / SECRETS
    wanted = {
        "server.auth_token": (settings.server.auth_token, TOKEN_FILE),
        "encryption.key": (settings.encryption.key, KEY_FILE),
        "webhooks.hmac_secret": (settings.webhooks.hmac_secret, HMAC_FILE),
    }
    found: dict[str, str] = {}
    for name, (configured, file) in wanted.items():
        path = directory / file
        value = configured.get_secret_value()
        if not value and path.is_file():
            value = path.read_text().strip()
        found[name] = value
    missing = {name: "must be set" for name, value in found.items() if not value}
    if missing:
        raise Invalid(
            f"Set {', '.join(missing)}: only `codeforge up` makes its own secrets.", fields=missing
        )
    key = parse_key(found["encryption.key"])
    others = find_other_keys(settings)
    if any(map(is_weak, (key, *others))):
        log.warning("encryption.key_is_weak", advice="make one with `openssl rand -base64 32`")
    return Secrets(
        auth_token=found["server.auth_token"],
        master_key=key,
        hmac_secret=found["webhooks.hmac_secret"],
        other_master_keys=others,
        old_hmac_secrets=find_old_hmac_secrets(settings),
    )


def find_keyring(settings: Settings) -> Keyring:
    """
    The master keys alone, for who needs nothing else.

    Raises:
        Invalid: there is none, or one of them is no key.
    """
    text = settings.encryption.key.get_secret_value()
    file = settings.data_dir / SECRETS / KEY_FILE
    if not text and file.is_file():
        text = file.read_text().strip()
    if not text:
        message = "There is no master key: set encryption.key, or let `codeforge up` make one."
        raise Invalid(message, fields={"encryption.key": "must be set"})
    return Keyring.of(parse_key(text), find_other_keys(settings))


def find_other_keys(settings: Settings) -> tuple[bytes, ...]:
    """
    Master keys that only open: those of `encryption.keys`, and the files beside a generated one.

    Raises:
        Invalid: one of them is no key; it is named.
    """
    texts = {
        f"encryption.keys.{name}": secret.get_secret_value()
        for name, secret in settings.encryption.keys.items()
    }
    if not settings.encryption.key.get_secret_value():
        texts |= _beside(settings, KEY_FILE)
    keys: list[bytes] = []
    for name, text in texts.items():
        try:
            keys.append(parse_key(text))
        except Invalid as error:
            raise Invalid(f"{name}: {error.message}", fields={name: error.message}) from error
    return tuple(keys)


def find_old_hmac_secrets(settings: Settings) -> tuple[str, ...]:
    """Those of `webhooks.old_hmac_secrets`, and the files beside a generated secret."""
    found = [secret.get_secret_value() for secret in settings.webhooks.old_hmac_secrets]
    if not settings.webhooks.hmac_secret.get_secret_value():
        found += _beside(settings, HMAC_FILE).values()
    return tuple(found)


def _beside(settings: Settings, name: str) -> dict[str, str]:
    """The contents of `<name>.<anything>` in the directory of secrets, by path."""
    paths = sorted((settings.data_dir / SECRETS).glob(f"{name}.*"))
    return {str(path): path.read_text().strip() for path in paths}


def arm_fault(environ: Mapping[str, str]) -> None:
    """
    Let this process die where `FAULT` says, as tests and drills want it (`internal.fault`).

    Raises:
        Invalid: there is no such point.
    """
    try:
        point = arm(environ.get(FAULT_VARIABLE, ""))
    except ValueError as error:
        raise Invalid(f"{FAULT_VARIABLE}: {error}") from error
    if point is not None:
        log.warning("fault.armed", after=point)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run *main* on uvloop to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def stop_event() -> asyncio.Event:
    """
    An event that SIGINT and SIGTERM set; a second signal ends the process at once.

    But not a child of ours: a service manager sends SIGTERM to every process and `up` sends it
    again, the kernel does when the parent dies. Who means it kills, and draining goes on.
    """
    stop = asyncio.Event()
    is_child = PARENT_VARIABLE in os.environ

    def on_signal() -> None:
        if stop.is_set() and not is_child:
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop
