"""The webhook's scripts, each loaded once: what they share, then their body."""

from __future__ import annotations

from internal.rdb.scripts import Script, load_lua

_PACKAGE = "internal.webhook"
_LIBRARY = load_lua("internal.rdb", "lua/lib/ground") + load_lua(_PACKAGE, "lua/lib/post")


def _script(name: str) -> Script:
    return Script(load_lua(_PACKAGE, f"lua/{name}"), library=_LIBRARY)


CLAIM = _script("claim")
SETTLE = _script("settle")
REDELIVER = _script("redeliver")
ENDPOINT_CREATE = _script("endpoint_create")
ENDPOINT_CHANGE = _script("endpoint_change")
ENDPOINT_ROTATE = _script("endpoint_rotate")
ENDPOINT_DELETE = _script("endpoint_delete")
ENDPOINT_TEST = _script("endpoint_test")
