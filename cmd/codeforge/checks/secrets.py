"""The deployment's own secrets, and settings that are well-formed and still wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from codeforge import runtime
from codeforge.checks.finding import Finding, fail, ok, warn
from internal.config.effect import without_effect
from internal.config.load import Loaded
from internal.config.settings import Settings
from internal.crypto.masterkey import is_weak, parse_key
from internal.egress.guard import Guard
from internal.errors import Invalid
from internal.webhook.signer import Signer

_OTHERS = 0o077


def check_secrets(settings: Settings) -> list[Finding]:
    """Token, master key and webhook secret: from settings, or from the files of `up`."""
    directory = settings.data_dir / runtime.SECRETS
    rows = (
        ("server.auth_token", settings.server.auth_token, runtime.TOKEN_FILE, _any),
        ("encryption.key", settings.encryption.key, runtime.KEY_FILE, _judge_key),
        ("webhooks.hmac_secret", settings.webhooks.hmac_secret, runtime.HMAC_FILE, _judge_hmac),
    )
    found = [
        _check_secret(name, configured.get_secret_value(), directory / file, judge)
        for name, configured, file, judge in rows
    ]
    for name, secret in settings.encryption.keys.items():
        found += filter(None, [_judge_key(f"encryption.keys.{name}", secret.get_secret_value())])
    for old in settings.webhooks.old_hmac_secrets:
        found += filter(None, [_judge_hmac("webhooks.old_hmac_secrets", old.get_secret_value())])
    return found


def check_policies(loaded: Loaded) -> list[Finding]:
    """What only its user can judge, and what has no effect."""
    found: list[Finding] = []
    try:
        Guard(loaded.settings.egress.allow)
    except Invalid as error:
        found.append(fail("egress.allow", error.message, "Write networks or host names."))
    found += [
        warn(path, "has no effect in this version", f"Remove it from {loaded.sources[path]}.")
        for path in without_effect(loaded)
    ]
    made = [path for path in loaded.sources if loaded.was_set(path)]
    return found or [ok("settings", f"{len(made)} set, all understood")]


def _check_secret(
    name: str, configured: str, file: Path, judge: Callable[[str, str], Finding | None]
) -> Finding:
    try:
        value, where = (configured, "set")
        if not value and file.exists():
            value, where = (file.read_text(encoding="utf-8").strip(), str(file))
            if file.stat().st_mode & _OTHERS:
                return fail(name, f"{file} can be read by others", f"chmod 600 {file}")
    except OSError as error:
        return fail(name, f"{file}: {error.strerror}", "Make it readable for us.")
    if not value:
        return ok(name, "not there yet: `codeforge up` makes it")
    return judge(name, value) or ok(name, where)


def _any(name: str, value: str) -> Finding | None:
    del name, value
    return None


def _judge_key(name: str, value: str) -> Finding | None:
    try:
        weak = is_weak(parse_key(value))
    except Invalid as error:
        return fail(name, error.message, "Make one with `openssl rand -base64 32`.")
    if weak:
        return warn(name, "looks made up", "Make one with `openssl rand -base64 32`.")
    return None


def _judge_hmac(name: str, value: str) -> Finding | None:
    try:
        Signer(value)
    except Invalid as error:
        return fail(name, error.message, "Use any text, or `whsec_` and base64.")
    return None
