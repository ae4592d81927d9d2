"""
The task's scripts, each loaded once: the library with the state table in front, then its body.
"""

from __future__ import annotations

from internal.rdb.scripts import Script, load_lua
from internal.task import state

_LIBRARY = state.as_lua() + load_lua("internal.task", "lua/lib")


def _script(name: str) -> Script:
    return Script(load_lua("internal.task", f"lua/{name}"), library=_LIBRARY)


ENQUEUE = _script("enqueue")
CLAIM = _script("claim")
HEARTBEAT = _script("heartbeat")
TRANSITION = _script("transition")
APPEND = _script("append")
FINISH = _script("finish")
FINISH_PR = _script("finish_pr")
HANDBACK = _script("handback")
INSTRUCT = _script("instruct")
RETRY = _script("retry")
PUBLISH = _script("publish")
CANCEL = _script("cancel")
DELETE = _script("delete")
REAP = _script("reap")
REGISTER = _script("register")
