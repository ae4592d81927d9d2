"""
A commit object put together by hand, so that the same work always gives the same commit. Pure.

Nothing of it is from the machine: no clock, no user, no configuration. Whoever repeats a push after
a kill finds its own commit at the remote, and knows it by its id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitText:
    """What a commit says beside its tree; author and committer are the same."""

    name: str
    email: str
    at: datetime
    message: str


def commit_object(tree: str, parent: str, text: CommitText) -> bytes:
    """The content of the object, as `git hash-object -t commit` takes it."""
    name = _NOT_IN_A_NAME.sub(" ", text.name).strip()
    email = _NOT_IN_A_NAME.sub("", text.email).strip()
    who = f"{name} <{email}> {int(text.at.timestamp())} +0000"
    message = text.message.replace("\0", "").strip()
    head = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n"
    return f"{head}\n{message}\n".encode(errors="replace")
