"""
What must not leave in a pull request, seen in the recorded tree itself. Pure.

Each check looks at the new side of what changed: what was in the repository before is its own
affair. All raise Invalid with a code of `internal.task.refusal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from internal.git.changes import LINK, SUBMODULE, Change
from internal.git.diff import readable
from internal.task.refusal import refused

LONGEST_LINK = 4096
"""Bytes; PATH_MAX of Linux. What is longer leads nowhere."""


def check_submodules(changes: Iterable[Change]) -> None:
    """No new or moved submodule (`submodule_in_diff`): its code is what nobody here has seen."""
    for change in changes:
        if change.new_mode == SUBMODULE or change.path == b".gitmodules":
            raise refused("submodule_in_diff", f"{readable(change.path)} changes a submodule.")


def check_sizes(changes: Iterable[Change], sizes: Mapping[str, int], *, max_bytes: int) -> None:
    """No file over the limit (`file_too_large`)."""
    for change in changes:
        size = sizes.get(change.new, 0) if change.has_content else 0
        if size > max_bytes:
            raise refused(
                "file_too_large",
                f"{readable(change.path)} has {size:,} bytes; git.max_file_mb allows "
                f"{max_bytes:,}.",
            )


def new_links(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The symbolic links that were made or moved."""
    return tuple(change for change in changes if change.new_mode == LINK)


def check_link(path: bytes, target: bytes) -> None:
    """No link that leaves the tree, or may (`link_leaves_tree`)."""
    if _leaves(path, target):
        raise refused("link_leaves_tree", f"The link {readable(path)} leads out of the tree.")


def _leaves(path: bytes, target: bytes) -> bool:
    if not target or len(target) > LONGEST_LINK or target.startswith(b"/") or b"\0" in target:
        return True
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    ups = next((at for at, part in enumerate(parts) if part != b".."), len(parts))
    # `..` behind a name may climb out of where another link leads, so only leading ones are read.
    return ups > path.count(b"/") or b".." in parts[ups:] or _is_git(parts[ups:], path, ups)


def _is_git(parts: list[bytes], path: bytes, ups: int) -> bool:
    """Whether the link leads into the `.git` of the checkout it will be part of."""
    at_root = ups == path.count(b"/")
    return bool(at_root and parts and parts[0].lower() == b".git")
