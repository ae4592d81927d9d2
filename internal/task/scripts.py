"""
The task's scripts, each loaded once: the parts of the library it needs, then its body.

The parts build on one another in the order of `_PARTS`, and a script names the last one it needs:
what is put in front is compiled once, but its definitions run with each call.
"""

from __future__ import annotations

from internal.rdb.scripts import Script, load_lua
from internal.task import state
from internal.telemetry import buckets

_PARTS = (
    *("ground", "base", "counters", "registry", "events", "gates"),
    *("spending", "lists", "pauses", "directives", "post"),
    *("runs", "restore", "dedup", "homes", "fairness", "escalation"),
)
_FROM = {"ground": "internal.rdb", "post": "internal.webhook"}
"""Parts of other packages: what all scripts stand on, and how a delivery is written."""


def library(last: str, *also: str) -> str:
    """The parts of the library up to *last*, and *also*, as the source in front of a script."""
    parts = (*_PARTS[: _PARTS.index(last) + 1], *also)
    texts = [load_lua(_FROM.get(part, "internal.task"), f"lua/lib/{part}") for part in parts]
    return state.as_lua() + buckets.as_lua() + "".join(texts)


def _script(name: str, *, needs: str, also: tuple[str, ...] = ()) -> Script:
    return Script(load_lua("internal.task", f"lua/{name}"), library=library(needs, *also))


ENQUEUE = _script("enqueue", needs="lists")
ENQUEUE_ONCE = _script("enqueue", needs="dedup")
"""The same for a task with a deduplication key: it can end others, which takes more library."""
CLAIM = _script("claim", needs="pauses")
HEARTBEAT = _script("heartbeat", needs="registry")
TRANSITION = _script("transition", needs="events")
APPEND = _script("append", needs="events")
SPEND = _script("spend", needs="spending")
ADMIT = _script("admit", needs="runs")
JUDGE = _script("judge", needs="gates", also=("fairness",))
FINISH = _script("finish", needs="restore")
FINISH_PR = _script("finish_pr", needs="restore")
HANDBACK = _script("handback", needs="runs")
SUSPEND = _script("suspend", needs="runs")
INSTRUCT = _script("instruct", needs="restore")
RETRY = _script("retry", needs="restore")
PUBLISH = _script("publish", needs="restore")
CANCEL = _script("cancel", needs="restore")
PAUSE = _script("pause", needs="pauses")
RESUME = _script("resume", needs="lists")
DISCARD = _script("discard", needs="base")
DIRECT = _script("direct", needs="directives")
LISTEN = _script("listen", needs="directives")
DELETE = _script("delete", needs="runs")
LIMITS = _script("limits", needs="ground")
REAP = _script("reap", needs="escalation")
LOAD = _script("load", needs="ground")
TRIM = _script("trim", needs="base")
SIGNAL = _script("signal", needs="escalation")
CALM = _script("calm", needs="escalation")
RELEASE = _script("release", needs="gates")
SURVEY = _script("survey", needs="gates")
REGISTER = _script("register", needs="homes")
